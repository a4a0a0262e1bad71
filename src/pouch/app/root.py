"""The front door: chat completions go straight to the gateway, everything else through Starlette."""

from collections.abc import Callable

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pouch.app.far_ends import MODELS_PATH
from pouch.gateway.chat import ChatCompletions
from pouch.gateway.errors import CallError
from pouch.gateway.provider import CHAT_PATHS

log = structlog.get_logger()


class Broken(CallError):
    """A fault of ours that nobody foresaw."""

    status = 500
    type = "server_error"
    code = "internal_error"


class Root:
    """The ASGI application of `serve`."""

    def __init__(self, chat: ChatCompletions, pages: ASGIApp, models: ASGIApp | None) -> None:
        self._chat = chat
        self._pages = pages
        self._models = models
        self.before_stop: list[Callable[[], None]] = []
        """What is to be done when the server stops taking requests, before it waits for those under way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path in CHAT_PATHS and scope["method"] == "POST":
            await self._answer_call(scope, receive, send)
        elif self._models is not None and path.startswith(f"{MODELS_PATH}/"):
            await self._models({**scope, "root_path": MODELS_PATH}, receive, send)
        else:
            await self._pages(scope, receive, send)

    async def _answer_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_begun = False

        async def watched(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._chat(scope, receive, watched)
        except Exception:
            # Whatever was held is given back or charged by the call itself; this only finds words for the caller.
            log.exception("call failed")
            if is_begun:
                raise
            body = Broken("Something broke here. The fault is ours; nothing was charged for this.").body()
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": body})
