"""The one way out of a sandbox: a unix socket whose other end is the gateway, with the run's key put in on our side.

- The key is never inside: whatever `Authorization` a program sends is dropped, and ours is sent.
- A few paths are let through, JSON bodies up to a size, and only the run's models.
- Only the sandbox's own account may connect, whoever else could reach the socket.
- A 402 is told at once (`Notice` "refused"): engines that try it again for ever are stopped by whoever runs them.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import orjson

from pouch.agents.sandboxes.connections import Connections
from pouch.agents.sandboxes.http import Broken, Request, TooLarge, read_request, refusal
from pouch.agents.sandboxes.types import GatewayAccess, Notice, Notify

ALLOWED = {
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/models"),
}
PASSED_ON = {"accept", "content-type", "user-agent", "anthropic-version", "anthropic-beta"}
BODY_BYTES_MAX = 16 * 1024 * 1024
CALLS_MAX = 8
"""At the same time."""
READ_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 10
LINGER_S = 5
SILENCE_MAX_S = 900
PIECE = 64 * 1024


class Relay(Connections):
    """Serves one sandbox."""

    def __init__(self, access: GatewayAccess, notify: Notify, *, uid: int | None = None) -> None:
        """`uid`: the only account that may connect."""
        super().__init__(uid)
        self._access = access
        self._notify = notify
        self._is_away = False
        self._tls = ssl.create_default_context() if access.url.startswith("https:") else None

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one call on, or refuse it."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                request = await read_request(reader, writer, BODY_BYTES_MAX)
        except TooLarge:
            self._notify(Notice("body_denied", "A call of the agent was larger than may be sent."))
            await _refuse(writer, 413, "This call is larger than an agent may send.", "too_large")
            # Closed while more comes, the connection would be reset, and the answer lost.
            async with asyncio.timeout(LINGER_S):
                await _until_gone(reader)
            return
        except Broken as error:
            await _refuse(writer, 400, str(error), "bad_request")
            return
        if request is None:
            return
        if len(self._under_way) > CALLS_MAX:
            await _refuse(writer, 429, "An agent may make 8 calls at the same time.", "too_many_calls")
            return
        path = request.target.partition("?")[0]
        if (request.method, path) not in ALLOWED:
            self._notify(Notice("path_denied", f"The agent asked for {request.method} {path[:200]}."))
            await _refuse(writer, 403, "An agent may not call this.", "not_allowed")
            return
        if request.method == "POST" and (model := _model(request.body)) not in self._access.models:
            self._notify(Notice("model_denied", f"The agent asked for the model {model[:100]!r}."))
            await _refuse(writer, 403, f"This run may not use the model {model[:100]!r}.", "model_not_allowed")
            return
        passing = asyncio.ensure_future(self._pass_on(request, path, writer))
        # An agent that hangs up ends the call, so that nothing more is produced for it.
        gone = asyncio.ensure_future(_until_gone(reader))
        try:
            await asyncio.wait([passing, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (passing, gone):
                each.cancel()
            await asyncio.gather(passing, gone, return_exceptions=True)

    async def _pass_on(self, request: Request, path: str, writer: asyncio.StreamWriter) -> None:
        gateway = urlsplit(self._access.url)
        port = gateway.port or (443 if self._tls else 80)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                answers, calls = await asyncio.open_connection(gateway.hostname, port, ssl=self._tls)
        except (OSError, TimeoutError):
            if not self._is_away:
                self._is_away = True
                self._notify(Notice("gateway_away", "The models cannot be reached at the moment; the agent waits."))
            await _refuse(writer, 503, "The gateway cannot be reached.", "gateway_unreachable", {"retry-after": "2"})
            return
        if self._is_away:
            self._is_away = False
            self._notify(Notice("gateway_back", "The models can be reached again."))
        try:
            calls.write(self._head(request, path, gateway.netloc) + request.body)
            await calls.drain()
            await self._pump(answers, writer)
        finally:
            calls.transport.abort()

    def _head(self, request: Request, path: str, host: str) -> bytes:
        headers = {name: value for name, value in request.headers.items() if name in PASSED_ON}
        headers |= {
            "host": host,
            "authorization": f"Bearer {self._access.key}",
            "connection": "close",
            "content-length": str(len(request.body)),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{request.method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")

    async def _pump(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_first = True
        while True:
            async with asyncio.timeout(SILENCE_MAX_S):
                piece = await answers.read(PIECE)
            if not piece:
                return
            if is_first:
                is_first = False
                self._look_at(piece)
            writer.write(piece)
            await writer.drain()

    def _look_at(self, piece: bytes) -> None:
        """Tell of a refusal for money. The gateway sends head and body of an error in one piece, or nearly so."""
        status = piece[:16].split(b" ", 2)[1:2]
        if status != [b"402"]:
            return
        code, text = "payment_required", "The gateway refused a call of this run."
        with contextlib.suppress(orjson.JSONDecodeError):
            document = orjson.loads(piece.partition(b"\r\n\r\n")[2] or b"null")
            error = document.get("error") if isinstance(document, dict) else None
            if isinstance(error, dict):
                code, text = str(error.get("type") or error.get("code") or code), str(error.get("message") or text)
        self._notify(Notice("refused", text[:500], status=402, code=code[:100]))


async def _until_gone(reader: asyncio.StreamReader) -> None:
    while await reader.read(PIECE):
        pass


def _model(body: bytes) -> str:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    model = document.get("model") if isinstance(document, dict) else None
    return model if isinstance(model, str) else ""


async def _refuse(
    writer: asyncio.StreamWriter, status: int, message: str, code: str, headers: Mapping[str, str] | None = None
) -> None:
    body = orjson.dumps({"error": {"message": message, "type": code, "code": code}})
    writer.write(refusal(status, body, headers or {}))
    await writer.drain()
