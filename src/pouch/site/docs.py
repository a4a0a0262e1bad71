"""/docs: how credits and the API work here. Plain templates, so that what they say follows the settings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.errors import NotFound
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.catalog.snapshot import Catalog
from pouch.payments.charges import Charges
from pouch.site.public import public_page
from pouch.web.pages import Web


@dataclass(frozen=True, slots=True)
class Page:
    """One page, at /docs/{name}. Documentation is translated page by page, not sentence by sentence."""

    name: str
    title: str
    summary: str

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/docs/{self.name}"


PAGES = (
    Page("credits", "Credits overview", "What credits are, what they cost and what they are for."),
    Page("buying-credits", "Buying credits", "From the balance in the top right to the confirmation e-mail."),
    Page("billing-api", "Billing API", "What the Billing pages do, for programs: ledger, lots, statements and more."),
    Page("first-call", "First call", "Call a model with curl, Python, Node or Roo Code."),
    Page(
        "charges", "Charges explained", "What is held, what is charged, how it is rounded and when it is an estimate."
    ),
    Page("agents", "Cloud Agents", "What a run is, what of it is billed, and how programs start one."),
    Page("errors", "Errors and limits", "Every answer that is not a completion, and what to do about it."),
)


class DocsPages:
    """The index and its pages."""

    def __init__(
        self, web: Web, catalog: Catalog, *, sells: bool, agent_hour: Callable[[], Awaitable[Money | None]]
    ) -> None:
        self._web = web
        self._catalog = catalog
        self._sells = sells
        self._agent_hour = agent_hour

    def routes(self) -> list[Route]:
        """Where the pages are."""
        return [Route("/docs", self.index), Route("/docs/{name}", self.page)]

    async def index(self, request: Request) -> Response:
        """What there is to read."""
        return await public_page(self._web, request, "site/docs/index.html", pages=PAGES)

    async def page(self, request: Request) -> Response:
        """One page, with this Pouch's addresses, limits and a model that is on sale here."""
        page = next((page for page in PAGES if page.name == request.path_params["name"]), None)
        if page is None:
            raise NotFound(say("There is no such page in the docs."))
        models = self._catalog.offered
        return await public_page(
            self._web,
            request,
            f"site/docs/{page.name}.html",
            page=page,
            pages=PAGES,
            model=min(models, key=lambda model: not model.is_free, default=None),
            credits=self._web.settings.file.credits,
            charges=Charges.of(self._web.settings.file.payments),
            limits=self._web.settings.file.limits,
            sells=self._sells,
            agent_hour=await self._agent_hour(),
        )
