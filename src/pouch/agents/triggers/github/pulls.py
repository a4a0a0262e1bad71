"""Pull requests: one for a branch, whoever asks again."""

from urllib.parse import urlencode

from pydantic import BaseModel

from pouch.agents.triggers.github.app import Acting, read
from pouch.agents.triggers.origins import Publication
from pouch.agents.triggers.types import RefusedThere


class _Repository(BaseModel):
    default_branch: str


class _Pull(BaseModel):
    number: int
    html_url: str = ""


async def ensure_pull(acting: Acting, publication: Publication, title: str, body: str) -> tuple[int, str]:
    """Open a pull request for a branch that is there, or find it: its number and address."""
    if (found := await _find(acting, publication)) is not None:
        return found.number, found.html_url
    base = publication.base or read(_Repository, await acting.ask("GET", "")).default_branch
    asked = {"title": title, "head": publication.head, "base": base, "body": body}
    try:
        made = read(_Pull, await acting.ask("POST", "/pulls", dict(asked)))
    except RefusedThere:
        # Somebody may have opened it at the same moment.
        if (found := await _find(acting, publication)) is None:
            raise
        return found.number, found.html_url
    return made.number, made.html_url


async def _find(acting: Acting, publication: Publication) -> _Pull | None:
    owner = publication.repository.partition("/")[0]
    query = urlencode({"head": f"{owner}:{publication.head}", "state": "open", "per_page": 5})
    return next(iter(read(list[_Pull], await acting.ask("GET", f"/pulls?{query}"))), None)
