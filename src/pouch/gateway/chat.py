"""POST …/chat/completions: key → model and price → hold → upstream → relay → charge → the cost, after the commit.

A raw ASGI callable, because it is the hot path. Everything that can be refused is refused before the first byte.
"""

import asyncio
from collections.abc import Callable, Mapping
from uuid import UUID

import orjson
import structlog

from pouch.base.clock import Clock, system_clock
from pouch.base.errors import Unavailable
from pouch.catalog.snapshot import Catalog
from pouch.gateway.answers import (
    Headers,
    Receive,
    Scope,
    Send,
    generation_headers,
    send_error,
    send_json,
    start_stream,
    usage_with_cost,
    with_usage,
)
from pouch.gateway.body import ClientGone, read_request_body
from pouch.gateway.errors import (
    BadKey,
    BadRequest,
    Busy,
    CallError,
    NotInScope,
    UnknownModel,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamSilent,
)
from pouch.gateway.flights import Flight, Flights
from pouch.gateway.free import FreeCalls
from pouch.gateway.idempotency import IdempotencyKeys
from pouch.gateway.loops import Loops
from pouch.gateway.origin import origin_of
from pouch.gateway.overflow import is_overflow, too_long
from pouch.gateway.pace import Pace
from pouch.gateway.patience import Patience
from pouch.gateway.refusals import refusal_error
from pouch.gateway.relay import Relay, error_text, json_of, text_bytes
from pouch.gateway.request import chat_request, model_name, read_body
from pouch.gateway.settlement import Ledger, Settlement
from pouch.gateway.task_limits import TaskLimits
from pouch.gateway.upstream import Answer, Upstreams
from pouch.identity.callers import Callers
from pouch.identity.types import Caller
from pouch.ledger.operations import Refused
from pouch.settings import Limits
from pouch.usage.types import Outcome

RETRY_AFTER_MAX_S = 60
ERROR_BYTES_MAX = 64 * 1024
LOWERED_MAX = 5
"""How often a call is made smaller: once for each budget that may be the tightest."""

log = structlog.get_logger()


class ChatCompletions:
    """The endpoint. One per process."""

    def __init__(  # noqa: PLR0913 -- the parts of a call; app.py is the only one to put them together
        self,
        *,
        callers: Callers,
        catalog: Catalog,
        ledger: Ledger,
        upstreams: Upstreams,
        free_calls: FreeCalls,
        idempotency_keys: IdempotencyKeys,
        lease_id: Callable[[], UUID],
        billing_url: str,
        clock: Clock = system_clock,
        patience: Patience | None = None,
        limits: Limits,
        task_limits: TaskLimits,
    ) -> None:
        self._patience = patience or Patience()
        self._pace = Pace(limits)
        self._loops = Loops(limits, loop_s=self._patience.loop_s)
        self._task_limits = task_limits
        self.flights = Flights(self._patience)
        self._callers = callers
        self._catalog = catalog
        self._ledger = ledger
        self._upstreams = upstreams
        self._free_calls = free_calls
        self._idempotency_keys = idempotency_keys
        self._lease_id = lease_id
        self._billing_url = billing_url
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call of whoever's key or session token it carries."""
        await self._answer(scope, receive, send, None)

    async def answer_for(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call of somebody who is known already, such as a signed-in person. No key is looked at."""
        await self._answer(scope, receive, send, caller)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, known: Caller | None) -> None:
        headers: Headers = []
        # Of a header that comes twice, the last one counts.
        said: dict[bytes, bytes] = dict(scope["headers"])
        try:
            caller = known or await self._authenticate(said)
            self._pace.enter(caller.person_id)
            try:
                settlement = await self._understand(said, receive, caller)
                headers = generation_headers(settlement)
                await self._admit_and_answer(said, receive, send, settlement, headers)
            finally:
                self._pace.leave(caller.person_id)
        except CallError as error:
            await send_error(send, error, headers)
        except Unavailable as error:
            await send_error(send, Busy(error.message, retry_after_s=error.retry_after_s), headers)
        except ClientGone:
            return

    async def _authenticate(self, said: Mapping[bytes, bytes]) -> Caller:
        given = said.get(b"authorization", b"")
        kind, _, secret = given.partition(b" ")
        if kind.lower() != b"bearer" or not secret:
            raise BadKey("Send your API key as: Authorization: Bearer sk-pouch-…")
        caller = await self._callers.caller(secret.strip().decode("latin-1"))
        if caller is None:
            raise BadKey("This API key or session is not known here, or it has ended.")
        if "inference" not in caller.scopes:
            raise NotInScope("This API key may not call models: it lacks the scope “inference”.")
        return caller

    async def _understand(self, said: Mapping[bytes, bytes], receive: Receive, caller: Caller) -> Settlement:
        body = read_body(await read_request_body(said, receive, self._patience.body_s))
        name = model_name(body)
        model = self._catalog.find(name)
        if model is None:
            raise UnknownModel(f"There is no model {name[:100]!r} here; GET /v1/models lists them.", param="model")
        if caller.model_ids is not None and model.id not in caller.model_ids:
            raise NotInScope(f"This API key may only call {', '.join(sorted(caller.model_ids))}.")
        request = chat_request(body, model)
        lease_id, now = self._lease_id(), self._clock()
        return Settlement(self._ledger, caller, request, lease_id, self._clock, now, origin_of(said))

    async def _admit_and_answer(
        self, said: Mapping[bytes, bytes], receive: Receive, send: Send, settlement: Settlement, headers: Headers
    ) -> None:
        caller = settlement.caller
        client_key = said.get(b"idempotency-key")
        digest = None
        if client_key is not None:
            digest = await self._idempotency_keys.claim(caller.key_id, client_key, settlement.id)
        flight = self.flights.begin(receive, send)
        is_charged, task_id = False, settlement.origin.task_id
        relay = Relay(settlement.request.asked_usage)
        try:
            if task_id:
                await self._loops.enter(caller.person_id, task_id)
                settlement.task_subject = await self._task_limits.subject(caller.person_id, task_id)
            if settlement.is_free:
                await self._free_calls.take(caller.person_id, caller.key_id)
            elif (refused := await _hold(settlement)) is not None:
                raise refusal_error(refused, settlement.request, self._billing_url)
            if settlement.lowered is not None:
                headers.append((b"x-max-tokens-lowered", b"%d" % settlement.lowered.given))
            is_charged = await self._ask(flight, settlement, headers, relay)
            if task_id and settlement.request.offers_tools and relay.is_whole:
                self._loops.answered(caller.person_id, task_id, has_called=relay.has_called)
        except asyncio.CancelledError:
            if flight.reason is None:
                raise
            # We cancelled this task ourselves, while it held nothing yet: the caller is gone.
            flight.task.uncancel()
        finally:
            settlement.release()
            self.flights.end(flight)
            if digest is not None and not is_charged:
                await self._idempotency_keys.forget(caller.key_id, digest)

    async def _ask(self, flight: Flight, settlement: Settlement, headers: Headers, relay: Relay) -> bool:
        """Call the upstream and answer. True when the call was charged; raises CallError when nothing was sent."""
        request = settlement.request
        settlement.is_asked = True
        flight.is_visible = request.is_stream and "reasoning" not in request.model.tags
        try:
            asked = self._upstreams.chat(request.model.upstream, request.forward)
            async with asked as answer:
                if answer.status != 200:
                    raise await _upstream_error(answer)
                if not request.is_stream:
                    await self._answer_whole(flight, settlement, headers, relay, await answer.whole())
                    return True
                if not answer.is_event_stream:
                    raise UpstreamFailed("The model's server did not answer with a stream.")
                return await self._stream(flight, settlement, headers, answer, relay)
        except asyncio.CancelledError:
            is_charged = settlement.is_settled or await _settle_stopped(flight, settlement, relay)
            if flight.reason is None:
                raise
            flight.task.uncancel()
            if flight.reason in {"fenced", "too_long"} and not flight.is_begun and not is_charged:
                raise _stopped(flight) from None
            return is_charged

    async def _answer_whole(
        self, flight: Flight, settlement: Settlement, headers: Headers, relay: Relay, body: bytes
    ) -> None:
        document = _completion(body)
        relay.saw_whole(document["choices"])
        usage = document.pop("usage", None)
        usage = usage if isinstance(usage, dict) else None
        written = json_of(document)
        charged = await settlement.charge(usage, _output_bytes(document), "client_gone" if flight.is_gone else "done")
        flight.is_answered = True
        await send_json(flight.send, 200, with_usage(written, usage_with_cost(usage, charged)), headers)

    async def _stream(
        self, flight: Flight, settlement: Settlement, headers: Headers, answer: Answer, relay: Relay
    ) -> bool:
        try:
            async for piece in answer.pieces():
                onward = relay.feed(piece)
                if onward:
                    if not flight.is_begun:
                        flight.is_begun = True
                        await start_stream(flight.send, headers)
                    await flight.send({"type": "http.response.body", "body": onward, "more_body": True})
                if relay.is_done or relay.failed is not None:
                    break
        except UpstreamFailed as error:
            relay.failed = error
        onward = relay.end()
        if relay.failed is not None and not relay.is_whole:
            return await _break_off(flight, settlement, relay, relay.failed)
        # What goes wrong after the finish reason is between us and the upstream.
        charged = await settlement.charge(relay.usage, relay.text_bytes, "client_gone" if flight.is_gone else "done")
        if not flight.is_begun:
            await start_stream(flight.send, headers)
        await _send_last(flight, onward + relay.closing(usage_with_cost(relay.usage, charged)))
        return True


async def _hold(settlement: Settlement) -> Refused | None:
    """Wait for what others hold and for a top-up under way, then make the call smaller. What refuses it, or None."""
    refused = await settlement.place_hold()
    for _ in range(LOWERED_MAX):
        if refused is None or not settlement.lower(refused):
            break
        refused = await settlement.place_hold(waits=False)
    return refused


async def _break_off(flight: Flight, settlement: Settlement, relay: Relay, error: UpstreamFailed) -> bool:
    """The upstream broke off: charge what it had produced, if anything, and say so. True when charged."""
    if not flight.is_begun:
        raise error
    if relay.text_bytes:
        # Usage that was said before the end is a running count at best, so the text is counted.
        await settlement.charge(None, relay.text_bytes, "cut")
    else:
        settlement.release()
    await _send_last(flight, _error_event(error))
    return relay.text_bytes > 0


async def _settle_stopped(flight: Flight, settlement: Settlement, relay: Relay) -> bool:
    """Settle a call whose task was cancelled: by ourselves (see `Flight.reason`) or because the server stops.

    True when charged. The writer posts it even if this task is cancelled again.
    """
    is_callers_doing = flight.reason in {"client_gone", "stalled"}
    if not is_callers_doing and not relay.text_bytes:
        settlement.release()
        return False
    outcome: Outcome = "client_gone" if is_callers_doing else "cut"
    await settlement.charge(relay.usage if relay.is_whole else None, relay.text_bytes, outcome)
    return True


def _stopped(flight: Flight) -> CallError:
    if flight.reason == "too_long":
        return UpstreamSilent("The model's server did not come to an end. Nothing was charged.")
    return Busy("This call was stopped here before it was answered. Nothing was charged.", retry_after_s=1)


async def _send_last(flight: Flight, body: bytes) -> None:
    flight.is_answered = True
    await flight.send({"type": "http.response.body", "body": body})


def _completion(body: bytes) -> dict[str, object]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamFailed("The model's server sent an answer that is not JSON.") from None
    if isinstance(document, dict):
        choices = document.get("choices")
        if isinstance(choices, list) and choices and all(isinstance(choice, dict) for choice in choices):
            return document
    raise UpstreamFailed("The model's server sent an answer without choices.")


def _output_bytes(document: Mapping[str, object]) -> int:
    choices = document["choices"]
    found = (
        [choice.get("message") for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    )
    return sum(text_bytes(message) for message in found if isinstance(message, dict))


def _error_event(error: UpstreamFailed) -> bytes:
    document = {"choices": [], "error": {"message": error.message, "type": error.type, "code": error.status}}
    return b"data: " + orjson.dumps(document) + b"\n\n"


async def _upstream_error(answer: Answer) -> CallError:
    """What the caller is told when the upstream did not answer 200. Nothing is charged.

    A request that the upstream finds wrong is the caller's to mend, so its words are passed on. Everything else is
    between us and the upstream: our key, its load, its faults.
    """
    status = answer.status
    if status in {400, 413, 422}:
        try:
            document = orjson.loads(await answer.whole(ERROR_BYTES_MAX))
        except (orjson.JSONDecodeError, UpstreamFailed):
            document = None
        if is_overflow(document, status):
            return too_long(error_text(document))
        return BadRequest(f"The model's server refused this request: {error_text(document)}")
    log.warning("upstream refused a call", status=status)
    retry_after_s = _seconds(answer.retry_after)
    if status in {429, 503, 529}:
        return UpstreamBusy(
            "The model's server has no room right now. Nothing was charged.", retry_after_s=retry_after_s
        )
    if status in {401, 403, 404}:
        return UpstreamFailed("This model is not set up rightly here; the operator must look. Nothing was charged.")
    return UpstreamFailed(f"The model's server failed ({status}). Nothing was charged.")


def _seconds(text: str | None) -> int:
    is_number = text is not None and len(text) < 10 and text.isascii() and text.isdigit()
    return min(int(text or ""), RETRY_AFTER_MAX_S) if is_number else 1
