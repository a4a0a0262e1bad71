"""/robots.txt and /sitemap.xml: which pages search engines may show."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.catalog.snapshot import Catalog
from pouch.settings import Settings
from pouch.site import docs
from pouch.site.models_page import model_address
from pouch.site.public import conditional

_PROGRAMS = ("/api/", "/events", "/proxy/", "/trpc/", "/v1/")
_SIGNED_IN = (
    *("/admin", "/agents", "/billing", "/cli/", "/confirm-password", "/extension/", "/keys", "/l/", "/organizations"),
    *("/settings", "/task", "/try", "/usage", "/verify"),
)
_LINKS = ("/change-address/", "/first/", "/invitation/", "/reset/", "/shared/", "/top-up/", "/undo-change/")
_PRIVATE = sorted((*_PROGRAMS, *_SIGNED_IN, *_LINKS, "/embedded/"))
_CACHE = {"cache-control": "public, max-age=3600"}


class RobotsPages:
    """The two files. All addresses in them come from POUCH_PUBLIC_URL. `also`: public pages of other rooms."""

    def __init__(self, settings: Settings, catalog: Catalog, also: Sequence[str] = ()) -> None:
        self._url = settings.url
        self._catalog = catalog
        self._also = also

    def routes(self) -> list[Route]:
        """Where the files are."""
        return [Route("/robots.txt", self.robots), Route("/sitemap.xml", self.sitemap)]

    async def robots(self, request: Request) -> Response:
        """Nothing behind a sign-in or a secret link, and no API."""
        lines = ["User-agent: *", *(f"Disallow: {path}" for path in _PRIVATE), "", f"Sitemap: {self._url}/sitemap.xml"]
        return conditional(request, Response("\n".join(lines) + "\n", media_type="text/plain", headers=_CACHE))

    async def sitemap(self, request: Request) -> Response:
        """Every public page, each model's own among them."""
        entries = "".join(f"<url><loc>{escape(self._url + path)}</loc></url>\n" for path in self._paths())
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}</urlset>\n'
        )
        return conditional(request, Response(text, media_type="application/xml", headers=_CACHE))

    def _paths(self) -> Iterator[str]:
        yield from ("/", "/pricing", "/provider", "/docs", *self._also)
        yield from (page.path for page in docs.PAGES)
        yield from (model_address(model.id) for model in self._catalog.offered)
