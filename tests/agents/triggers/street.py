"""What lies between GitHub and a run: the webhook, the inbox and what is told, over a database and npm's `emulate`."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import orjson
from starlette.applications import Starlette

from agents.house import House
from pouch.agents.asking import Asking
from pouch.agents.store import list_runs
from pouch.agents.triggers.answering import Answering
from pouch.agents.triggers.github.app import GitHub, Names
from pouch.agents.triggers.github.far_end import GitHubEnd
from pouch.agents.triggers.github.installations import Visit, connect
from pouch.agents.triggers.github.webhook import PATH, GitHubWebhook
from pouch.agents.triggers.inbox import Inbox
from pouch.agents.types import Run
from pouch.base.ids import derived_id, new_id
from support.github import APP_ID, CLIENT_ID, CLIENT_SECRET, INSTALLATION, SLUG, WEBHOOK_SECRET, FakeGitHub


@dataclass
class Street:
    """Alice's organization here is connected to acme there."""

    house: House
    github: FakeGitHub
    app: GitHub
    inbox: Inbox
    answering: Answering
    web: httpx.AsyncClient
    _numbers: list[int] = field(default_factory=list)

    async def deliver(
        self, event: str, payload: Mapping[str, Any], *, number: str = "", secret: str = WEBHOOK_SECRET
    ) -> httpx.Response:
        """Deliver as GitHub does; then everything that is due is done."""
        body = orjson.dumps(payload)
        self._numbers.append(1)
        headers = {
            "content-type": "application/json",
            "x-github-event": event,
            "x-github-delivery": number or f"72d3162e-{len(self._numbers)}-{new_id().hex}",
            "x-hub-signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}",
        }
        answer = await self.web.post(PATH, content=body, headers=headers)
        await self.settle()
        return answer

    async def settle(self) -> None:
        for event_id in await self.ids("SELECT id FROM agent_trigger_events WHERE due_at <= now()"):
            await self.inbox.process(event_id)
        await self.tell()

    async def tell(self) -> None:
        for run_id in await self.ids("SELECT id FROM agent_origins WHERE due_at <= now()"):
            await self.answering.answer(run_id)

    async def ids(self, query: str) -> list[UUID]:
        return [row[0] for row in await self.rows(query)]

    async def rows(self, query: str) -> list[Any]:
        async with self.house.database.transaction() as db:
            return await (await db.execute(query.encode())).fetchall()

    async def runs(self) -> list[Run]:
        async with self.house.database.transaction() as db:
            return await list_runs(db, self.house.alice.organization_id, limit=50)

    async def notes(self) -> list[tuple[str, str]]:
        return [
            tuple(row) for row in await self.rows("SELECT state, note FROM agent_trigger_events ORDER BY received_at")
        ]

    def inbox_with(self, *, api_base: str = "", **more: Any) -> Inbox:
        app = make_app(self.github, api_base=api_base)
        return Inbox(
            self.house.database, asking_of(self.house), {"github": GitHubEnd(self.house.database, app)}, **more
        )


def make_app(github: FakeGitHub, *, api_base: str = "") -> GitHub:
    names = Names(APP_ID, SLUG, CLIENT_ID, "https://github.example")
    return GitHub(names, private_key=github.key, client_secret=CLIENT_SECRET, api_base=api_base or github.url)


def asking_of(house: House) -> Asking:
    return Asking(find=lambda _: house.model, first=lambda: house.model)


async def street(house: House, github: FakeGitHub) -> Street:
    app = make_app(github)
    far_end = GitHubEnd(house.database, app)
    webhook = GitHubWebhook(house.database, secret=WEBHOOK_SECRET, slug=SLUG)
    transport = httpx.ASGITransport(Starlette(routes=webhook.routes()))
    await house.show_worker()
    async with house.database.transaction() as db:
        visit = Visit(house.alice.organization_id, house.alice.id, derived_id("session"))
        assert await connect(db, visit, INSTALLATION, "acme")
    return Street(
        house,
        github,
        app,
        Inbox(house.database, asking_of(house), {"github": far_end}),
        Answering(house.database, {"github": far_end}, url="https://pouch.example"),
        httpx.AsyncClient(transport=transport, base_url="http://pouch"),
    )
