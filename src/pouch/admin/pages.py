"""All pages of the operator's desk."""

from starlette.routing import Route

from pouch.admin.agents import AgentDesk
from pouch.admin.approvals import ApprovalPages
from pouch.admin.desk import Desk
from pouch.admin.grants import GrantPages
from pouch.admin.journal import JournalPages
from pouch.admin.mail import MailPages
from pouch.admin.orders import Orders
from pouch.admin.overview import Overview
from pouch.admin.people import PeoplePages
from pouch.admin.purchases import PurchasePages
from pouch.admin.reconciliation import ReconciliationPages
from pouch.admin.reversals import ReversalPages
from pouch.admin.vouchers import VoucherDesk
from pouch.base.database import Database
from pouch.mail.templates import Templates
from pouch.payments.reconciling import Reconciling
from pouch.payments.refunding import Refunding
from pouch.web.pages import Web


class AdminPages:
    """The desk, put together."""

    def __init__(
        self, web: Web, database: Database, refunding: Refunding, reconciling: Reconciling, letters: Templates
    ) -> None:
        pages = Desk(web)
        orders = Orders(refunding, alone=web.settings.file.operators.alone_usd_per_day)
        self._parts = (
            Overview(pages, database),
            PurchasePages(web, pages, database, refunding, orders),
            ReversalPages(pages, database),
            ReconciliationPages(pages, database, reconciling),
            PeoplePages(pages, database),
            GrantPages(web, pages, database, orders),
            VoucherDesk(web, pages, database, orders),
            ApprovalPages(web, pages, database, orders),
            JournalPages(web, pages, database),
            AgentDesk(pages, database),
            MailPages(pages, database, letters),
        )

    def routes(self) -> list[Route]:
        """The routes of all of them."""
        return [route for part in self._parts for route in part.routes()]
