"""Style sheet, script and mark: read from the package once, joined, compressed, and named by their content."""

import gzip
import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pouch.base.errors import NotFound
from pouch.base.languages import say

_IMPORT = re.compile(r'@import url\("([^"]+)"\) layer\((\w+)\);')
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SPACED = re.compile(r"""("[^"]*"|'[^']*'|`[^`]*`)| *(=>|===|!==|&&|\|\||[=?:,;(){}]) *""")
"""Texts, which stay as they are, and signs that need no space beside them."""
_NEVER = re.compile(r"q=0(\.0*)?")
_HELPS = 0.9
"""A file that gzip leaves larger than this part of itself is sent as it is."""
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as browsers get it. `tag` changes exactly when `body` does; `small` is the same in gzip, if that helps.

    Pages are never compressed: beside what a stranger may put into one, the length would tell of its secrets.
    """

    body: bytes
    small: bytes | None
    media_type: str
    tag: str


class Assets:
    """The files under /static. Their address holds their tag, so browsers may keep them for good."""

    def __init__(self) -> None:
        folder = files("pouch.web") / "static"
        self._assets = {
            "css/pouch.css": _asset(plain_sheet(joined(folder / "css")), "text/css; charset=utf-8"),
            "js/pouch.js": _script(folder / "js" / "pouch.js"),
            "js/playground.js": _script(folder / "js" / "playground.js"),
            "js/search.js": _script(folder / "js" / "search.js"),
            "js/copy.js": _script(folder / "js" / "copy.js"),
            "js/way-back.js": _script(folder / "js" / "way-back.js"),
            "js/run.js": _script(folder / "js" / "run.js"),
            "mark.svg": _asset((folder / "mark.svg").read_text(encoding="utf-8"), "image/svg+xml"),
        }

    def url(self, name: str) -> str:
        """The address of a file. A name that does not exist is a programmer's error: KeyError."""
        return f"/static/{self._assets[name].tag}/{name}"

    def routes(self) -> list[Route]:
        """Where the files are served."""
        return [Route("/static/{tag}/{name:path}", self._serve), Route("/favicon.ico", self._favicon)]

    async def _serve(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise NotFound(say("There is no such file."))
        # While a new version is rolled out, a page of the other one may ask here: it gets what there is, not for good.
        return _answer(request, asset, cache=_FOREVER if request.path_params["tag"] == asset.tag else "no-cache")

    async def _favicon(self, request: Request) -> Response:
        return _answer(request, self._assets["mark.svg"], cache="public, max-age=86400")


def joined(folder: Traversable) -> str:
    """One style sheet from `pouch.css` and the files that it imports, each inside its layer."""

    def inside(found: re.Match[str]) -> str:
        text = folder.joinpath(*found[1].split("/")).read_text(encoding="utf-8")
        return f"@layer {found[2]} {{\n{text}}}"

    return _IMPORT.sub(inside, (folder / "pouch.css").read_text(encoding="utf-8"))


def plain_sheet(sheet: str) -> str:
    """A style sheet without comments, indentation and empty lines."""
    lines = (line.strip() for line in _COMMENT.sub("", sheet).splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def plain(script: str) -> str:
    """A script without comments, indentation and the spaces around its signs: what a browser needs of it.

    A text that goes over several lines would be changed by this, so our scripts have none.
    """
    lines = (line.strip() for line in script.splitlines())
    return "".join(f"{_SPACED.sub(_tight, line)}\n" for line in lines if line and not line.startswith("//"))


def _tight(found: re.Match[str]) -> str:
    return found[1] or found[2]


def _script(file: Traversable) -> Asset:
    return _asset(plain(file.read_text(encoding="utf-8")), "text/javascript; charset=utf-8")


def _asset(text: str, media_type: str) -> Asset:
    body = text.encode()
    small = gzip.compress(body, 9, mtime=0)
    helps = len(small) < _HELPS * len(body)
    return Asset(body, small if helps else None, media_type, sha256(body).hexdigest()[:16])


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding allows gzip: by its name, else by `*`; a quality of nought forbids it."""
    qualities = {}
    for each in accepted.lower().split(","):
        name, _, quality = each.partition(";")
        qualities[name.strip()] = quality.replace(" ", "")
    return not _NEVER.fullmatch(qualities.get("gzip", qualities.get("*", "q=0")))


def _answer(request: Request, asset: Asset, *, cache: str) -> Response:
    body, etag, encoded = asset.body, f'"{asset.tag}"', {}
    headers = {"cache-control": cache} if asset.small is None else {"cache-control": cache, "vary": "accept-encoding"}
    if asset.small is not None and takes_gzip(request.headers.get("accept-encoding", "")):
        # Other bytes, so another name: a cache must not take one for the other.
        body, etag, encoded = asset.small, f'"{asset.tag}-gzip"', {"content-encoding": "gzip"}
    headers["etag"] = etag
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=asset.media_type, headers=headers | encoded)
