"""The provider's quick endpoints under every prefix: the model list and one model."""

from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pouch.catalog import listing
from pouch.catalog.snapshot import Catalog
from pouch.catalog.types import Model
from pouch.gateway.errors import BadRequest, CallError, NoImages, UnknownModel

PREFIXES = ("/v1", "/proxy/v1", "/api/v1")
"""OpenAI's and Anthropic's SDKs; Roo Code; OpenRouter's clients."""
CHAT_PATHS = frozenset(f"{prefix}/chat/completions" for prefix in PREFIXES)

# The list holds nothing that is not on the public pages, and web pages of others may show it.
_OPEN = {"access-control-allow-origin": "*", "cache-control": "public, max-age=60"}
_PREFLIGHT = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, OPTIONS",
    "access-control-allow-headers": "*",
    "access-control-max-age": "86400",
}
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class ProviderRoutes:
    """GET …/models and …/models/{id}; anyone may ask, and whatever stands in `Authorization` is not looked at.

    POST …/images/generations says in OpenAI's shape that no model here makes images: editors show that sentence.
    `include_paid=false` leaves free models; without it all are listed, because Roo's CLI asks without saying who it is.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._listed: tuple[Sequence[Model], bytes, bytes] = ((), b"", b"")

    def routes(self) -> list[BaseRoute]:
        """The routes, under each prefix."""
        known: list[BaseRoute] = []
        for prefix in PREFIXES:
            known.append(Route(f"{prefix}/models", self._models, methods=["GET", "OPTIONS"]))
            known.append(Route(f"{prefix}/models/{{model_id:path}}", self._model, methods=["GET", "OPTIONS"]))
            known.append(Route(f"{prefix}/images/generations", self._images, methods=["POST"]))
        return known

    async def _models(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        with_paid = _FLAGS.get(request.query_params.get("include_paid", "true").lower())
        if with_paid is None:
            return error_response(BadRequest("include_paid must be true or false.", param="include_paid"))
        models = self._catalog.models
        if self._listed[0] is not models:
            free = listing.model_list(model for model in models if model.is_free)
            self._listed = (models, orjson.dumps(listing.model_list(models)), orjson.dumps(free))
        _, everything, free_only = self._listed
        return Response(everything if with_paid else free_only, media_type="application/json", headers=_OPEN)

    async def _model(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        name = request.path_params["model_id"]
        model = self._catalog.find(name)
        if model is None:
            return error_response(UnknownModel(f"There is no model {name[:100]!r} here.", param="model"))
        return Response(orjson.dumps(listing.one(model)), media_type="application/json", headers=_OPEN)

    async def _images(self, _request: Request) -> Response:
        return error_response(NoImages("There are no models for images here. Nothing was charged."))


def error_response(error: CallError) -> Response:
    """An error in OpenAI's shape, for Starlette routes."""
    headers = {name.decode(): value.decode() for name, value in error.headers()}
    return Response(
        error.body(),
        status_code=error.status,
        media_type="application/json",
        headers={"access-control-allow-origin": "*"} | headers,
    )
