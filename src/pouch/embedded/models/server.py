"""The server itself, a plain ASGI application: it is also the upstream that the benchmarks measure against."""

import asyncio
import hmac

import orjson
from starlette.types import Receive, Scope, Send

from pouch.catalog.test_models import TEST_MODELS
from pouch.embedded.models.answer import Answer, cut, spoken
from pouch.embedded.models.coder import next_step
from pouch.embedded.models.question import Question, Refused, read_question
from pouch.embedded.models.wire import Wire, refusal

BODY_BYTES_MAX = 32 * 1024 * 1024
WORDS_PER_TURN = 64
"""After so many words without a pause the other requests of the process get their turn."""

_MODEL_IDS = tuple(model.id for model in TEST_MODELS)
_JSON = (b"content-type", b"application/json")
_EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class TestModelServer:
    """Answers `POST /v1/chat/completions` and `GET /v1/models` for whoever knows `models_key`.

    `delay_ms` is waited before each word. Works alone or mounted under any path.
    """

    __test__ = False  # its name begins like a test's, which pytest would try to collect

    def __init__(self, models_key: str, delay_ms: int = 0) -> None:
        self._authorization = f"Bearer {models_key}".encode()
        self._delay_s = delay_ms / 1000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise NotImplementedError("The test models speak HTTP only.")
        try:
            await self._answer(scope, receive, send)
        except Refused as error:
            await _send_json(send, refusal(error), error.status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, self._authorization):
            raise Refused(401, "Incorrect API key provided.", code="invalid_api_key")
        match scope["method"], scope["path"].removeprefix(scope.get("root_path", "")):
            case "POST", "/v1/chat/completions":
                question = read_question(await _body(receive))
                answer = cut(_answer_to(question), question.max_words)
                wire = Wire(question, answer)
                if question.is_stream:
                    await self._stream(wire, receive, send)
                elif not await _is_gone(receive, self._delay_s * answer.words):
                    await _send_json(send, wire.whole())
            case "GET", "/v1/models":
                data = [{"id": name, "object": "model", "created": 0, "owned_by": "pouch"} for name in _MODEL_IDS]
                await _send_json(send, orjson.dumps({"object": "list", "data": data}))
            case method, path:
                raise Refused(404, f"Invalid URL ({method} {path}).", code="unknown_url")

    async def _stream(self, wire: Wire, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
        await _send_part(send, wire.opening())
        for index, event in enumerate(wire.words(), start=1):
            if self._delay_s:
                if await _is_gone(receive, self._delay_s):
                    return
            elif index % WORDS_PER_TURN == 0:
                await asyncio.sleep(0)
            await _send_part(send, event)
        await _send_part(send, wire.closing(), more=False)


def _answer_to(question: Question) -> Answer:
    match question.model:
        case "pouch/free" | "pouch/paid":
            return Answer(spoken(question.last_user_words))
        case "pouch/coder":
            return next_step(question)
        case model:
            raise Refused(404, f"The model {model[:100]!r} does not exist.", code="model_not_found", param="model")


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            raise Refused(413, "The request is too large.")
        more = message.get("more_body", False)
    return bytes(body)


async def _is_gone(receive: Receive, within_s: float) -> bool:
    """Wait that long, unless the client leaves first; then there is nobody to answer."""
    if not within_s:
        return False
    try:
        async with asyncio.timeout(within_s):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


async def _send_json(send: Send, body: bytes, status: int = 200) -> None:
    headers = [_JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await _send_part(send, body, more=False)


async def _send_part(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
