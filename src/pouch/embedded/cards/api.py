"""The REST protocol: keys, versions, form bodies, idempotency and errors; what happens inside is `endpoints`."""

import hmac
from collections.abc import Awaitable, Callable
from functools import partial

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.clock import Clock
from pouch.base.database import Database
from pouch.embedded.cards.endpoints import customers, disputes, intents, methods, reading, refunds, sessions, setups
from pouch.embedded.cards.endpoints.call import Call, Endpoint
from pouch.embedded.cards.errors import Refusal
from pouch.embedded.cards.faults import Faults
from pouch.embedded.cards.form import Form, Tree, decode
from pouch.embedded.cards.idempotency import Answer, fingerprint, once
from pouch.embedded.cards.place import Desk, Place
from pouch.embedded.cards.types import (
    API_VERSION,
    Charge,
    Customer,
    Dispute,
    Event,
    FraudWarning,
    Intent,
    Method,
    Movement,
    Refund,
    Session,
    Setup,
    new_id,
)

BODY_BYTES_MAX = 256 * 1024

log = structlog.get_logger(__name__)

_OF_PAYMENT = {"charge": "charge_id = %s", "payment_intent": "intent_id = %s"}
ENDPOINTS: list[tuple[str, str, Endpoint]] = [
    ("POST", "/customers", customers.create),
    ("GET", "/customers", reading.list_of(Customer, {"email": "email = %s"})),
    ("GET", "/customers/{id}", reading.retrieve(Customer, "customer")),
    ("POST", "/customers/{id}", customers.update),
    ("POST", "/checkout/sessions", sessions.create),
    (
        "GET",
        "/checkout/sessions",
        reading.list_of(
            Session, {"customer": "customer_id = %s", "payment_intent": "intent_id = %s", "status": "status = %s"}
        ),
    ),
    ("GET", "/checkout/sessions/{id}", reading.retrieve(Session, "checkout.session")),
    ("GET", "/checkout/sessions/{id}/line_items", reading.line_items),
    ("POST", "/checkout/sessions/{id}/expire", sessions.expire),
    ("POST", "/payment_intents", intents.create),
    ("GET", "/payment_intents", reading.list_of(Intent, {"customer": "customer_id = %s"})),
    ("GET", "/payment_intents/{id}", reading.retrieve(Intent, "payment_intent")),
    ("POST", "/payment_intents/{id}/confirm", intents.confirm),
    ("POST", "/payment_intents/{id}/cancel", intents.cancel),
    (
        "GET",
        "/charges",
        reading.list_of(Charge, {"customer": "customer_id = %s", "payment_intent": "intent_id = %s"}),
    ),
    ("GET", "/charges/{id}", reading.retrieve(Charge, "charge")),
    ("GET", "/customers/{id}/payment_methods", methods.list_of_customer),
    ("POST", "/setup_intents", setups.create),
    (
        "GET",
        "/setup_intents",
        reading.list_of(Setup, {"customer": "customer_id = %s", "payment_method": "method_id = %s"}),
    ),
    ("GET", "/setup_intents/{id}", reading.retrieve(Setup, "setup_intent")),
    ("POST", "/setup_intents/{id}/confirm", setups.confirm),
    ("POST", "/setup_intents/{id}/cancel", setups.cancel),
    ("POST", "/payment_methods/{id}", methods.update),
    ("POST", "/payment_methods/{id}/attach", methods.attach),
    ("POST", "/payment_methods/{id}/detach", methods.detach),
    ("POST", "/refunds", refunds.create),
    ("GET", "/refunds", reading.list_of(Refund, _OF_PAYMENT)),
    ("GET", "/refunds/{id}", reading.retrieve(Refund, "refund")),
    ("POST", "/refunds/{id}", refunds.update),
    ("GET", "/disputes", reading.list_of(Dispute, _OF_PAYMENT)),
    ("GET", "/disputes/{id}", reading.retrieve(Dispute, "dispute")),
    ("POST", "/disputes/{id}", disputes.update),
    ("POST", "/disputes/{id}/close", disputes.close),
    ("GET", "/radar/early_fraud_warnings", reading.list_of(FraudWarning, _OF_PAYMENT)),
    ("GET", "/radar/early_fraud_warnings/{id}", reading.retrieve(FraudWarning, "early_fraud_warning")),
    (
        "GET",
        "/balance_transactions",
        reading.list_of(Movement, {"type": "type = %s", "source": "source_id = %s"}),
    ),
    ("GET", "/balance_transactions/{id}", reading.retrieve(Movement, "balance_transaction")),
    ("POST", "/test_helpers/disputes", disputes.open_one),
    ("POST", "/test_helpers/early_fraud_warnings", disputes.warn_once),
    ("POST", "/test_helpers/refunds/{id}/fail", refunds.fail),
    ("GET", "/payment_methods", reading.list_of(Method, {"customer": "customer_id = %s", "type": "type = %s"})),
    ("GET", "/payment_methods/{id}", reading.retrieve(Method, "payment_method")),
    ("GET", "/events", partial(reading.list_events, kind=Event)),
    ("GET", "/events/{id}", reading.retrieve(Event, "event")),
]


class Api:
    """Answers requests to /v1. `changed` is called after each commit that may have written events."""

    def __init__(
        self,
        database: Database,
        place: Place,
        *,
        clock: Clock,
        faults: Faults,
        changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._place = place
        self._clock = clock
        self._faults = faults
        self._changed = changed

    def routes(self) -> list[Route]:
        """Every endpoint, and an answer in Stripe's words for whatever is not there."""
        known = [Route(f"/v1{path}", self._serve(endpoint), methods=[method]) for method, path, endpoint in ENDPOINTS]
        rest = Route("/v1/{rest:path}", self._serve(_unknown), methods=["GET", "POST", "DELETE"])
        return [*known, rest]

    def _serve(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            try:
                self._check_key(request)
                answer = await self._answer(request, endpoint, decode(await _parameters(request)))
            except Refusal as refusal:
                answer = Answer.of({"error": refusal.error}, refusal.status)
            except (psycopg.Error, PoolTimeout):
                log.warning("cards.database_unavailable", path=request.url.path)
                answer = Answer.of({"error": {"type": "api_error", "message": "Try again in a moment."}}, 503)
            return _respond(request, answer)

        return serve

    def _check_key(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self._place.secret_key.encode()):
            # The key itself is never repeated: a live one may have been sent here by mistake.
            raise Refusal("Invalid API Key provided.", status=401, code="api_key_invalid")

    async def _answer(self, request: Request, endpoint: Endpoint, parameters: Tree) -> Answer:
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        path = request.url.path[len(request.scope.get("root_path", "")) :]
        async with self._database.transaction() as db:
            now = self._clock()

            async def act() -> Answer:
                call = Call(
                    Desk(db, now, self._place, self._faults), Form(parameters), path, request.path_params.get("id", "")
                )
                return await self._act(request, call, endpoint)

            if key is None:
                answer = await act()
            else:
                answer = await once(db, now, key, fingerprint(request.method, path, parameters), act)
        self._changed()
        if request.method == "POST" and self._faults.lose_answers > 0:
            self._faults.lose_answers -= 1
            return Answer.of({"error": {"type": "api_error", "message": "Bad gateway"}}, 502)
        return answer

    async def _act(self, request: Request, call: Call, endpoint: Endpoint) -> Answer:
        try:
            async with call.db.transaction():
                answer = await endpoint(call)
                self._break_if_asked(request)
                return answer
        except Refusal:
            raise
        except Exception:
            # The edge: whatever broke, the client is told 500, and its key remembers that.
            log.exception("cards.request_failed", method=request.method, path=call.url)
            return Answer.of({"error": {"type": "api_error", "message": "An unknown error occurred."}}, 500)

    def _break_if_asked(self, request: Request) -> None:
        if request.method == "POST" and self._faults.break_answers > 0:
            self._faults.break_answers -= 1
            raise RuntimeError("a fault was asked for")


async def _unknown(call: Call) -> Answer:
    raise Refusal(f"Unrecognized request URL ({call.url}).", status=404)


async def _parameters(request: Request) -> str:
    if request.method != "POST":
        return request.url.query
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Refusal("The request body is too large.", status=413)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Refusal("The request body is not UTF-8.") from error


def _respond(request: Request, answer: Answer) -> Response:
    headers = {
        "request-id": new_id("req", 14),
        "stripe-version": request.headers.get("stripe-version", API_VERSION),
        "cache-control": "no-store",
    }
    if (key := request.headers.get("idempotency-key")) is not None:
        headers["idempotency-key"] = key
    if answer.is_replayed:
        headers["idempotent-replayed"] = "true"
    return Response(answer.body, answer.status, headers, media_type="application/json")
