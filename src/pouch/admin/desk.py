"""What all pages of the operator's desk share: who may see them, and the tabs between them."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse

from pouch.base.errors import NotFound
from pouch.base.languages import later, say
from pouch.oversight.types import Operator
from pouch.web.pages import Web
from pouch.web.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Tab:
    """A part of the desk."""

    title: str
    path: str


TABS = (
    Tab(later("Overview"), "/admin"),
    Tab(later("Purchases"), "/admin/purchases"),
    Tab(later("Refunds"), "/admin/refunds"),
    Tab(later("Disputes"), "/admin/disputes"),
    Tab(later("Reconciliation"), "/admin/reconciliation"),
    Tab(later("Events"), "/admin/events"),
    Tab(later("People"), "/admin/people"),
    Tab(later("Grants"), "/admin/grants"),
    Tab(later("Vouchers"), "/admin/vouchers"),
    Tab(later("Approvals"), "/admin/approvals"),
    Tab(later("Journal"), "/admin/journal"),
    Tab(later("Log"), "/admin/log"),
    Tab(later("Agents"), "/admin/agents"),
    Tab(later("Mail"), "/admin/mail"),
)
"""In this order above every page of the desk."""


class Desk:
    """Draws pages for operators, and for nobody else: to all others the desk does not exist."""

    def __init__(self, web: Web) -> None:
        self._web = web

    @property
    def site_url(self) -> str:
        """The address of this site."""
        return self._web.settings.url

    async def operator(self, request: Request) -> Viewer:
        """Who runs this Pouch and looks. Raises SignInNeeded for a stranger and NotFound for anybody else."""
        viewer = await self._web.signed_in(request)
        if not viewer.is_operator:
            raise NotFound(say("The address may be mistyped, or what was here is gone."))
        return viewer

    def who(self, viewer: Viewer) -> Operator:
        """Who acts, for the log."""
        return Operator(viewer.person_id, viewer.email)

    async def page(self, request: Request, template: str, status: int = 200, **context: object) -> HTMLResponse:
        """Draw one."""
        return await self._web.page(request, template, status, tabs=TABS, **context)
