"""All pages of the operator's desk."""

from starlette.routing import Route

from pouch.admin.agents import AgentDesk
from pouch.admin.desk import Desk
from pouch.admin.mail import MailPages
from pouch.admin.overview import Overview
from pouch.admin.people import PeoplePages
from pouch.admin.purchases import PurchasePages
from pouch.admin.reconciliation import ReconciliationPages
from pouch.admin.reversals import ReversalPages
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
        self._parts = (
            Overview(pages, database),
            PurchasePages(web, pages, database, refunding),
            ReversalPages(pages, database),
            ReconciliationPages(pages, database, reconciling),
            PeoplePages(pages, database),
            AgentDesk(pages, database),
            MailPages(pages, database, letters),
        )

    def routes(self) -> list[Route]:
        """The routes of all of them."""
        return [route for part in self._parts for route in part.routes()]
