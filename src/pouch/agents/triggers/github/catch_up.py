"""Catching up: GitHub delivers once and never again by itself, so what did not arrive is looked for and taken in.

Only deliveries that GitHub says failed are fetched; their numbers are those of the webhook, so each is stored once,
whichever way it came.
"""

from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import orjson
import structlog
from pydantic import BaseModel, JsonValue

from pouch.agents.triggers import inbox
from pouch.agents.triggers.github.app import GitHub, read
from pouch.agents.triggers.github.payloads import LISTENED_TO
from pouch.agents.triggers.github.webhook import take
from pouch.agents.triggers.types import RefusedThere, Silent
from pouch.agents.triggers.wire import Answer
from pouch.base.database import Connection, Database

PAGES_MAX = 20
OVERLAP = timedelta(minutes=10)
"""Looked through again each time: a delivery fails only after a while."""

log = structlog.get_logger(__name__)


class _Listed(BaseModel):
    id: int
    guid: str
    delivered_at: datetime
    status_code: int = 0
    event: str = ""
    action: str | None = None


class _Request(BaseModel):
    payload: JsonValue = None


class _Whole(BaseModel):
    request: _Request


class CatchUp:
    """Looks through GitHub's list of deliveries for those that failed."""

    def __init__(self, database: Database, github: GitHub) -> None:
        self._database = database
        self._github = github

    async def __call__(self) -> None:
        """Take in what failed since the last time. Stops where GitHub is silent and goes on next time."""
        async with self._database.transaction() as db:
            since = await _until(db)
        try:
            newest = await self._look_through(since - OVERLAP)
        except (Silent, RefusedThere) as error:
            log.warning("github_not_caught_up", reason=str(error))
            return
        if newest is not None and newest > since:
            async with self._database.transaction() as db:
                await _set_until(db, newest)

    async def _look_through(self, since: datetime) -> datetime | None:
        newest, cursor = None, ""
        for _ in range(PAGES_MAX):
            answer = await self._github.as_app("GET", f"/app/hook/deliveries?per_page=100{cursor}")
            listed = read(list[_Listed], answer)
            for each in listed:
                if each.delivered_at <= since:
                    return newest
                newest = newest or each.delivered_at
                # Whether it is suspended may have changed again since; that it was removed cannot.
                is_old_news = each.event == "installation" and each.action != "deleted"
                if each.event in LISTENED_TO and not is_old_news and not 200 <= each.status_code < 300:
                    await self._fetch(each)
            cursor = _cursor(answer)
            if not cursor or not listed:
                break
        return newest

    async def _fetch(self, listed: _Listed) -> None:
        async with self._database.transaction() as db:
            if await inbox.was_received(db, "github", listed.guid):
                return
        whole = read(_Whole, await self._github.as_app("GET", f"/app/hook/deliveries/{listed.id}"))
        body = orjson.dumps(whole.request.payload)
        said, status = await take(self._database, listed.event, listed.guid, body, self._github.names.slug)
        log.info("github_caught_up", delivery=listed.guid, status=status, said=said)


def _cursor(answer: Answer) -> str:
    for part in answer.link.split(","):
        address, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            found = parse_qs(urlsplit(address.strip().strip("<>")).query).get("cursor", [])
            return f"&cursor={found[0]}" if found else ""
    return ""


async def _until(db: Connection) -> datetime:
    rows = await db.execute(
        """
        INSERT INTO agent_caught_up (source, until) VALUES ('github', clock_timestamp() - interval '3 days')
        ON CONFLICT (source) DO UPDATE SET until = agent_caught_up.until RETURNING until
        """
    )
    row = await rows.fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


async def _set_until(db: Connection, until: datetime) -> None:
    await db.execute("UPDATE agent_caught_up SET until = %s WHERE source = 'github'", (until,))
