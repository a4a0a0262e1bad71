"""From a comment in Linear to a run and back into a comment; the far end is npm's `emulate`."""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from agents.house import SAMPLE, House
from agents.triggers.street import asking_of
from pouch.agents.store import list_runs
from pouch.agents.triggers.answering import Answering
from pouch.agents.triggers.chat.linear import PATH, LinearEnd, LinearWebhook
from pouch.agents.triggers.chat.workspaces import Known, Workspaces
from pouch.agents.triggers.inbox import Inbox
from pouch.agents.triggers.rules import New, add_rule
from pouch.agents.types import Run
from support.emulate import emulated

pytestmark = pytest.mark.anyio

SECRET, WORKSPACE, TOKEN = "linear secret", "harbor-workspace", "lin_api_ours"
SEED = {
    "linear": {
        "users": [
            {"email": "pouch@example.com", "name": "Pouch"},
            {"email": "alice@example.com", "name": "Alice"},
            {"email": "carol@example.com", "name": "Carol"},
        ],
        "teams": [{"key": "HAR", "name": "Harbor"}],
    },
    "tokens": {
        TOKEN: {"login": "pouch@example.com"},
        "lin_api_alice": {"login": "alice@example.com"},
        "lin_api_carol": {"login": "carol@example.com"},
    },
}


@dataclass
class Harbor:
    """A workspace that is Alice's organization's, and what lies between it and a run."""

    url: str
    house: House
    inbox: Inbox
    answering: Answering
    web: httpx.AsyncClient

    def ask(self, who: str, query: str, **variables: Any) -> Any:
        headers = {"authorization": f"lin_api_{who}"}
        asked = {"query": query, "variables": variables}
        answer = httpx.post(f"{self.url}/graphql", json=asked, headers=headers, trust_env=False, timeout=30).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def issue(self) -> str:
        team = self.ask("alice", "{ teams { nodes { id } } }")["teams"]["nodes"][0]["id"]
        query = "mutation($i: IssueCreateInput!) { issueCreate(input: $i) { issue { id } } }"
        made = self.ask("alice", query, i={"teamId": team, "title": "Sums are wrong", "description": "2 + 2 is 0."})
        return str(made["issueCreate"]["issue"]["id"])

    def say(self, who: str, issue: str, text: str = "@pouch fix this") -> dict[str, Any]:
        """What somebody writes there, as it is delivered."""
        query = "mutation($i: CommentCreateInput!) { commentCreate(input: $i) { comment { id user { id } } } }"
        made = self.ask(who, query, i={"issueId": issue, "body": text})["commentCreate"]["comment"]
        return {"id": made["id"], "body": text, "userId": made["user"]["id"], "issueId": issue}

    async def deliver(
        self, said: dict[str, Any], *, number: str = "d1", secret: str = SECRET, age_ms: int = 0, **more: Any
    ) -> httpx.Response:
        delivery = {"action": "create", "type": "Comment", "organizationId": WORKSPACE, "data": said}
        delivery |= {"webhookTimestamp": int(time.time() * 1000) - age_ms} | more
        body = json.dumps(delivery).encode()
        mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"linear-signature": mac, "linear-delivery": number, "content-type": "application/json"}
        answer = await self.web.post(PATH, content=body, headers=headers)
        for (event_id,) in await self.rows("SELECT id FROM agent_trigger_events WHERE due_at <= now()"):
            await self.inbox.process(event_id)
        for (run_id,) in await self.rows("SELECT id FROM agent_origins WHERE due_at <= now()"):
            await self.answering.answer(run_id)
        return answer

    async def rows(self, query: str) -> list[Any]:
        async with self.house.database.transaction() as db:
            return await (await db.execute(query.encode())).fetchall()

    async def runs(self) -> list[Run]:
        async with self.house.database.transaction() as db:
            return await list_runs(db, self.house.alice.organization_id, limit=20)

    def comments(self, issue: str) -> list[str]:
        query = "query($id: String!) { issue(id: $id) { comments { nodes { body } } } }"
        return [each["body"] for each in self.ask("alice", query, id=issue)["issue"]["comments"]["nodes"]]


@pytest.fixture(scope="module")
def linear() -> Iterator[str]:
    with emulated("linear", SEED) as url:
        yield url


@pytest.fixture
async def harbor(house: House, linear: str) -> AsyncIterator[Harbor]:
    known = Workspaces({WORKSPACE: Known(house.alice.organization_id, TOKEN)})
    end = LinearEnd(house.database, known, linear, name="pouch")
    await house.show_worker()
    async with house.database.transaction() as db:
        new = New("linear", "message", fields={"agent": "planner", "repository": SAMPLE})
        await add_rule(db, house.alice.organization_id, house.alice.id, new)
    webhook = Starlette(routes=LinearWebhook(house.database, secret=SECRET, name="pouch").routes())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(webhook), base_url="http://pouch") as web:
        yield Harbor(
            linear,
            house,
            Inbox(house.database, asking_of(house), {"linear": end}),
            Answering(house.database, {"linear": end}, url="https://pouch.example"),
            web,
        )
    await end.close()


async def test_a_comment_starts_one_run_that_is_told_of_in_a_comment(harbor: Harbor) -> None:
    issue = harbor.issue()
    said = harbor.say("alice", issue)
    for _ in range(2):
        assert (await harbor.deliver(said)).status_code == 200
    (run,) = await harbor.runs()
    assert (run.trigger, run.kind, run.person_id) == ("linear", "planner", harbor.house.alice.id)
    assert "Sums are wrong" in run.title
    assert "> 2 + 2 is 0." in run.task
    assert len([each for each in harbor.comments(issue) if run.shown_id in each]) == 1


async def test_who_is_no_member_starts_nothing(harbor: Harbor) -> None:
    await harbor.deliver(harbor.say("carol", harbor.issue()))
    assert await harbor.runs() == []
    assert await harbor.rows("SELECT state FROM agent_trigger_events") == [("ignored",)]


async def test_what_was_delivered_is_not_believed(harbor: Harbor) -> None:
    """Carol's comment, delivered as if Alice had written it."""
    issue = harbor.issue()
    alice = harbor.say("alice", issue, "Hello")["userId"]
    await harbor.deliver(harbor.say("carol", issue) | {"userId": alice})
    assert await harbor.runs() == []


@pytest.mark.parametrize("wrong", [{"secret": "a guess"}, {"age_ms": 61_000}, {"age_ms": -61_000}])
async def test_what_is_forged_or_old_does_nothing(harbor: Harbor, wrong: dict[str, Any]) -> None:
    assert (await harbor.deliver(harbor.say("alice", harbor.issue()), **wrong)).status_code == 400
    assert await harbor.rows("SELECT 1 FROM agent_trigger_events") == []


async def test_bots_other_actions_and_foreign_workspaces_do_nothing(harbor: Harbor) -> None:
    said = harbor.say("alice", harbor.issue())
    await harbor.deliver(said | {"botActor": {"id": "1"}}, number="d1")
    await harbor.deliver(said | {"userId": None}, number="d2")
    await harbor.deliver(said, action="update", number="d3")
    await harbor.deliver(said | {"body": "`@pouch` in code"}, number="d4")
    assert await harbor.rows("SELECT 1 FROM agent_trigger_events") == []
    await harbor.deliver(said, organizationId="another", number="d5")
    assert await harbor.rows("SELECT state FROM agent_trigger_events") == [("ignored",)]
    assert await harbor.runs() == []
