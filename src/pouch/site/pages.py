"""All public pages: landing and pricing here, models, docs and the playground from their own files."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.money import Money
from pouch.catalog.snapshot import Catalog
from pouch.payments.charges import Charges
from pouch.site.docs import DocsPages
from pouch.site.examples import example_model, example_slip, example_works, first_purchase
from pouch.site.models_page import ModelPages
from pouch.site.playground import Ask, Playground
from pouch.site.public import public_page
from pouch.site.rates import places_of
from pouch.site.robots import RobotsPages
from pouch.web.pages import Web


class SitePages:
    """What strangers see. `home` draws "/" for a signed-in person; `sells` says whether cards are taken here.

    `agent_price` is what an hour of a Cloud Agent costs now; None when there are none. `also`: public pages of other
    rooms, for the sitemap.
    """

    def __init__(  # noqa: PLR0913 -- each is handed in by name
        self,
        web: Web,
        catalog: Catalog,
        *,
        home: Callable[[Request], Awaitable[Response]],
        ask: Ask,
        sells: bool,
        agent_price: Callable[[], Awaitable[Money | None]] | None = None,
        also: Sequence[str] = (),
    ) -> None:
        self._web = web
        self._catalog = catalog
        self._home = home
        self._sells = sells
        self._agent_price = agent_price
        self._credits = web.settings.file.credits
        self._parts = (
            ModelPages(web, catalog),
            DocsPages(web, catalog, sells=sells, agent_hour=self._agent_hour),
            RobotsPages(web.settings, catalog, also),
            Playground(web, catalog, ask),
        )

    def routes(self) -> list[Route]:
        """The routes of all these pages."""
        own = [Route("/", self.landing), Route("/pricing", self.pricing)]
        return own + [route for part in self._parts for route in part.routes()]

    async def landing(self, request: Request) -> Response:
        """What Pouch is, for a stranger; the home page of whoever has signed in."""
        if await self._web.viewer(request) is not None:
            return await self._home(request)
        put_in = first_purchase(self._credits)
        paid = example_model(self._catalog.offered)
        return await public_page(
            self._web,
            request,
            "site/landing.html",
            put_in=put_in,
            slip=example_slip(paid, put_in) if paid else None,
            has_free=self._has_free(),
            sells=self._sells,
            agent_hour=await self._agent_hour(),
        )

    async def pricing(self, request: Request) -> Response:
        """What costs money and what does not."""
        put_in = first_purchase(self._credits)
        paid = example_model(self._catalog.offered)
        works = example_works(paid, put_in) if paid else []
        inputs = [model.price.nanos_per_mtok["input"] for model in self._catalog.offered if model.price is not None]
        return await public_page(
            self._web,
            request,
            "site/pricing.html",
            put_in=put_in,
            lowest=Money(min(inputs)) if inputs else None,
            model=paid,
            works=works,
            places=places_of(work.cost for work in works),
            has_free=self._has_free(),
            sells=self._sells,
            credits=self._credits,
            agent_hour=await self._agent_hour(),
            charges=Charges.of(self._web.settings.file.payments),
        )

    async def _agent_hour(self) -> Money | None:
        return await self._agent_price() if self._agent_price else None

    def _has_free(self) -> bool:
        return any(model.is_free for model in self._catalog.offered)
