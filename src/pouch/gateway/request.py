"""A chat completion request: what of it we read, and what is forwarded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from pouch.catalog.cost import worst_case_nanos
from pouch.catalog.errors import UnpricedUsage
from pouch.catalog.types import Model
from pouch.gateway.bound import InputBound, OutputBound, input_bound, output_bound
from pouch.gateway.dialects import adapt
from pouch.gateway.errors import BadRequest

# A dearer class of service would cost more than the price that the call is held and billed by.
_SERVICE_TIERS = {"auto", "default", "flex"}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request that was understood, bounded and made ready for its upstream."""

    model: Model
    bound: InputBound
    output: OutputBound
    is_stream: bool
    asked_usage: bool
    """Whether the caller wants usage as a chunk of its own."""
    offers_tools: bool
    forward: bytes
    searches: int
    worst_case_nanos: int

    @property
    def output_max(self) -> int:
        """The most tokens that can come back."""
        return self.output.tokens_max

    def worst_case_with(self, max_tokens: int) -> int:
        """What it would cost at most with another `max_tokens`."""
        return _worst_case(self.model, self.bound, replace(self.output, each=max_tokens), self.searches)


def read_body(body: bytes) -> dict[str, object]:
    """Parse the body. Raises BadRequest when it is no JSON object."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {str(error).partition(':')[0]}.") from None
    if not isinstance(request, dict):
        raise BadRequest("The body must be a JSON object.")
    return request


def model_name(request: Mapping[str, object]) -> str:
    """The model that is asked for. Raises BadRequest when none is named."""
    name = request.get("model")
    if not isinstance(name, str) or not name:
        raise BadRequest("model must name a model; GET /v1/models lists them.", param="model")
    return name


def chat_request(request: dict[str, object], model: Model) -> ChatRequest:
    """Understand a request for a model. Raises BadRequest with the field that is wrong.

    What is forwarded is what was parsed, written anew: of a name that stands twice in the JSON, the upstream must not
    read another value than the one the call was held for. Only what we own is changed: the model's name upstream, the
    wish for usage in the stream, a `max_tokens` above what the model can give, and what its server would refuse
    (`dialects`).
    """
    is_stream = _flag(request, "stream")
    options = request.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise BadRequest("stream_options must be an object.", param="stream_options")
    asked_usage = is_stream and bool(options) and bool((options or {}).get("include_usage"))
    if request.get("service_tier") is not None and request["service_tier"] not in _SERVICE_TIERS:
        raise BadRequest("This service_tier is not offered here.", param="service_tier")
    forward = dict(request)
    forward["model"] = model.upstream_model
    if is_stream:
        forward["stream_options"] = {**(options or {}), "include_usage": True}
    for name in ("max_tokens", "max_completion_tokens"):
        value = forward.get(name)
        if isinstance(value, int) and value > model.max_tokens:
            forward[name] = model.max_tokens
    if model.upstream.dialect != "as_is" or model.drops:
        adapt(forward, model)
    try:
        written = orjson.dumps(forward)
    except orjson.JSONEncodeError:
        # It was read, so only its depth can be in the way; a part of it, which the bounds write, is no deeper.
        raise BadRequest("The body is nested too deeply.") from None

    bound = input_bound(request)
    output = output_bound(request, min(model.max_tokens, model.context_window))
    searches = 1 if request.get("web_search_options") is not None else 0
    try:
        worst = _worst_case(model, bound, output, searches)
    except UnpricedUsage as error:
        raise BadRequest(f"{model.id} does not offer this: {error}.") from None
    offers_tools = bool(request.get("tools"))
    return ChatRequest(model, bound, output, is_stream, asked_usage, offers_tools, written, searches, worst)


def _worst_case(model: Model, bound: InputBound, output: OutputBound, searches: int) -> int:
    return worst_case_nanos(
        model.price,
        input_tokens_max=bound.tokens_max,
        output_tokens_max=output.tokens_max,
        images=bound.images if model.price is not None and "image" in model.price.nanos_per_mtok else 0,
        searches=searches,
    )


def _flag(request: Mapping[str, object], name: str) -> bool:
    value = request.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.", param=name)
    return bool(value)
