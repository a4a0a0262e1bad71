"""What every response promises to the browser, and which requests are not even looked at.

`Security` wraps the whole application, so that error pages have the headers, too.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pouch.base.errors import NotAllowed, PouchError
from pouch.base.languages import ENGLISH, choose, say, speaking
from pouch.settings import Settings
from pouch.web.cookies import cookie_name
from pouch.web.forms import FORM_BYTES_MAX
from pouch.web.pages import Web
from pouch.web.problems import is_for_programs

BODY_BYTES_MAX = 32 * 1024 * 1024
"""The most of any body that is not a form; rooms that read less say so themselves."""
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_FORM_KINDS = {"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}
_STRIPE_API, _STRIPE_CHECKOUT = "https://api.stripe.com", "https://checkout.stripe.com"


class BodyTooLarge(PouchError):
    """More was sent than this address reads."""

    code = "body_too_large"
    status = 413


class Security:
    """ASGI middleware: security headers, refusal of foreign sites' requests, a limit for bodies."""

    def __init__(self, app: ASGIApp, web: Web) -> None:
        self._app = app
        self._web = web
        self._cookie = cookie_name(web.settings)
        self._origin = web.settings.url
        self._headers = security_headers(web.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with speaking(self._language(scope)):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        if scope["method"] not in _SAFE_METHODS and not self._is_ours(headers):
            request = Request(scope, receive)
            refusal = NotAllowed(
                say("This came from another site, so nothing was done. Open the page here and try again.")
            )
            response = await self._web.error(request, refusal)
            await response(scope, receive, send_with_headers)
            return
        most = self._web.body_bytes_max.get(scope["path"])
        await self._app(scope, limited(receive, headers, most), send_with_headers)

    def _language(self, scope: Scope) -> str:
        if is_for_programs(scope["path"]):
            return ENGLISH.code
        return choose(Headers(scope=scope).get("accept-language", ""), self._web.settings.file.site.language)

    def _is_ours(self, headers: Headers) -> bool:
        """Whether an unsafe request comes from our own pages, or from a program, which has a key and no cookie."""
        has_cookie = _has_cookie(headers, self._cookie)
        if not has_cookie and ("authorization" in headers or "x-api-key" in headers):
            return True
        # "none" is the person: an address typed, or a form sent again after a reload. No site can cause it.
        if site := headers.get("sec-fetch-site"):
            return site in {"same-origin", "none"}
        if origin := headers.get("origin"):
            return origin == self._origin
        return not has_cookie


def security_headers(settings: Settings) -> dict[str, str]:
    """The headers of every response. A response that sets one of them itself keeps its own."""
    headers = {
        "content-security-policy": content_policy(settings),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        "referrer-policy": "same-origin",  # "no-referrer" would make browsers send "Origin: null" with our own forms
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    if settings.is_https:
        headers["strict-transport-security"] = "max-age=31536000"
    return headers


def content_policy(settings: Settings, *more_targets: str) -> str:
    """Only our own files, no inline script or style, no markup made by script.

    Forms lead to `more_targets`, too: origins that the page itself has checked.
    """
    # Chromium applies form-action to the redirect after a POST as well: that is how a purchase reaches the checkout.
    targets = " ".join(["'self'", settings.url, *checkout_origins(settings), *more_targets])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def checkout_origins(settings: Settings) -> tuple[str, ...]:
    """Where Stripe's hosted payment pages may lie. The embedded processor's page is our own."""
    if settings.stripe_secret_key is None:
        return ()
    api = urlsplit(settings.file.payments.stripe_api_base)
    origin = f"{api.scheme}://{api.netloc}"
    return (_STRIPE_CHECKOUT,) if origin == _STRIPE_API else (_STRIPE_CHECKOUT, origin)


def limited(receive: Receive, headers: Headers, most: int | None = None) -> Receive:
    """Count what arrives. Reading more than `most`, else than is usual for the kind of body, raises BodyTooLarge.

    It is raised where the body is read.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if most is None:
        most = FORM_BYTES_MAX if kind in _FORM_KINDS else BODY_BYTES_MAX
    announced = headers.get("content-length", "")
    seen = int(announced) if announced.isascii() and announced.isdigit() and int(announced) > most else 0

    async def receive_limited() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > most:
                raise BodyTooLarge(
                    say(
                        "More than %(most)s kB was sent; this address reads no more than that.",
                        most=f"{most // 1024:,}",
                    )
                )
        return message

    return receive_limited


def _has_cookie(headers: Headers, name: str) -> bool:
    return any(part.partition("=")[0].strip() == name for line in headers.getlist("cookie") for part in line.split(";"))
