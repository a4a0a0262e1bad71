"""Keeps the embedded far ends on this machine: play money must never be reachable from elsewhere."""

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pouch.settings import Settings, is_loopback_host

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host")


class LoopbackOnly:
    """Wraps an ASGI app: 404 unless bind address, public address and the request's Host are all loopback."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pretend that nothing is here."""
        if scope["type"] == "http" and not is_local(self._settings, Headers(scope=scope)):
            await PlainTextResponse("Not Found", status_code=404)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def is_local(settings: Settings, headers: Headers) -> bool:
    """Whether a request with these headers can only come from this machine."""
    # A proxy may rewrite Host to the address it forwards to; that it forwards gives it away.
    if not settings.is_loopback or any(name in headers for name in _FORWARDED):
        return False
    hosts = headers.getlist("host")
    return len(hosts) == 1 and is_loopback_host(_without_port(hosts[0]))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[")
    return host.partition(":")[0]
