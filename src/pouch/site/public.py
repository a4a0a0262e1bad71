"""Drawing a public page: its own address in the head, and no second transfer of what the browser has."""

from hashlib import sha256
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from pouch.web.pages import Web


async def public_page(web: Web, request: Request, template: str, **context: object) -> Response:
    """Draw a page that strangers and search engines see. 304 when the browser has exactly this page.

    The address in its head is the path alone: a filtered list is not a page of its own.
    """
    canonical = web.settings.url + quote(request.url.path, safe="/:")
    response = await web.page(request, template, 200, **context, canonical=canonical)
    # The same address looks different once somebody has signed in, so nobody between us and the browser keeps it.
    response.headers["vary"] = "accept-language, cookie"
    return conditional(request, response)


def conditional(request: Request, response: Response) -> Response:
    """Name the content, and answer 304 without a body when the browser names the same."""
    tag = f'"{sha256(response.body).hexdigest()[:16]}"'
    response.headers["etag"] = tag
    known = (part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(","))
    if tag not in known:
        return response
    kept = {name: response.headers[name] for name in ("etag", "cache-control", "vary") if name in response.headers}
    return Response(status_code=304, headers=kept)
