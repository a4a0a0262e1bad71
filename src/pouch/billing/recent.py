"""What moves money by itself, or changes a card, takes a recent sign-in."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from pouch.base.database import Database
from pouch.identity.sessions import is_recent
from pouch.identity.types import SessionId
from pouch.web.viewer import Viewer

Recent: TypeAlias = Callable[[Viewer], Awaitable[bool]]
"""Whether this person gave their password lately."""


def recent_in(database: Database) -> Recent:
    """As identity knows it."""

    async def ask(viewer: Viewer) -> bool:
        async with database.transaction() as db:
            return await is_recent(db, SessionId(viewer.session_id))

    return ask


async def ask_password(recent: Recent, viewer: Viewer, goal: str) -> Response | None:
    """The way to the page that asks for the password again and leads back; None when it was given lately."""
    if await recent(viewer):
        return None
    return RedirectResponse(f"/confirm-password?{urlencode({'next': goal})}", status_code=303)
