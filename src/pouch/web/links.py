"""Addresses of this site that carry another address."""

from urllib.parse import urlencode

from starlette.requests import Request

from pouch.web.forms import safe_next


def sign_in_url(request: Request) -> str:
    """The sign-in page, which leads back here afterwards; to the home page when something was posted."""
    query = f"?{request.url.query}" if request.url.query else ""
    back = safe_next(request.url.path + query) if request.method in {"GET", "HEAD"} else "/"
    return "/sign-in" if back == "/" else f"/sign-in?{urlencode({'next': back})}"
