"""/provider: the models that the catalog bills by, and one page for each."""

from collections.abc import Sequence
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.errors import NotFound
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.catalog.snapshot import Catalog
from pouch.settings import PriceClass
from pouch.site.choosing import Wish, choose
from pouch.site.public import public_page
from pouch.site.rates import Priced, places_of, priced
from pouch.web.pages import Web


class ModelPages:
    """The list and the page of one model. Every price on them is read from the catalog as the gateway has it."""

    def __init__(self, web: Web, catalog: Catalog) -> None:
        self._web = web
        self._catalog = catalog

    def routes(self) -> list[Route]:
        """Where the pages are."""
        return [Route("/provider", self.list), Route("/provider/{id:path}", self.one)]

    async def list(self, request: Request) -> Response:
        """Every model on sale, searched and sorted as the address says."""
        wish = Wish.of(request.query_params)
        found = choose(self._catalog.offered, wish)
        rows = [priced(model) for model in found.models]
        return await public_page(
            self._web,
            request,
            "site/provider.html",
            wish=wish,
            found=found,
            rows=rows,
            places={name: places_of(_amounts(rows, name)) for name in ("input", "output", "cache_read")},
            address=model_address,
        )

    async def one(self, request: Request) -> Response:
        """One model: all its prices, and how to call it."""
        model = self._catalog.find(request.path_params["id"])
        if model is None:
            raise NotFound(say("There is no such model here. It may have been taken off the list."))
        row = priced(model)
        tiers = [{rate.name: rate for rate in tier.rates} for tier in row.tiers]
        amounts = [rate.amount for rates in (row.rates, *tiers) for rate in rates.values()]
        return await public_page(
            self._web,
            request,
            "site/model.html",
            row=row,
            model=model,
            tiers=tiers,
            places=places_of(amounts),
        )


def model_address(model_id: str) -> str:
    """The path of a model's own page."""
    return f"/provider/{quote(model_id, safe='/:')}"


def _amounts(rows: Sequence[Priced], name: PriceClass) -> Sequence[Money]:
    return [row.rates[name].amount for row in rows if name in row.rates]
