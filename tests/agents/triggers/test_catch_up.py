"""What GitHub could not deliver is fetched from its list, each delivery once."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.triggers.github_payloads import BOT, issue_comment
from agents.triggers.street import Street
from pouch.agents.triggers.github.app import GitHub, Names
from pouch.agents.triggers.github.catch_up import CatchUp
from support.git_host import BACKEND
from support.github import APP_ID, CLIENT_ID, CLIENT_SECRET, INSTALLATION, SLUG, FakeGitHub
from support.github_front import Front, front

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not BACKEND.exists(), reason="only with git's http server")]
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def whole(github: FakeGitHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front(github, Path(tmp_path_factory.mktemp("host"))) as running:
        yield running


@pytest.fixture
async def catch_up(outside: Street, whole: Front) -> AsyncIterator[CatchUp]:
    app = GitHub(
        Names(APP_ID, SLUG, CLIENT_ID, whole.url),
        private_key=whole.github.key,
        client_secret=CLIENT_SECRET,
        api_base=whole.api,
        certificates=whole.host.certificate.read_bytes(),
    )
    yield CatchUp(outside.house.database, app)
    await app.close()


def listed(number: int, payload: dict[str, Any], *, status: int = 502, minutes: int = 5, **more: Any) -> dict[str, Any]:
    at = (NOW - timedelta(minutes=minutes)).isoformat()
    found = {"id": number, "guid": f"guid-{number}", "delivered_at": at, "redelivery": False, "status_code": status}
    return found | {"event": "issue_comment", "action": "created", "request": {"payload": payload}} | more


def said(outside: Street) -> dict[str, Any]:
    number, text = outside.github.issue(), "@pouch-test mend it"
    payload = issue_comment(body=text, user=outside.github.ask("alice", "GET", "/user"), association="MEMBER")
    payload["comment"]["id"] = outside.github.comment("alice", number, text)
    payload["issue"]["number"] = number
    return payload


async def test_what_failed_is_taken_in_once(outside: Street, whole: Front, catch_up: CatchUp) -> None:
    whole.deliveries = [
        listed(4, said(outside), minutes=1),
        listed(3, said(outside), status=202, minutes=2),
        listed(2, issue_comment(sender=BOT), minutes=3),
        listed(1, said(outside), status=0, minutes=4),
    ]
    for _ in range(3):
        await catch_up()
    await outside.settle()
    assert await outside.rows("SELECT delivery, state FROM agent_trigger_events ORDER BY delivery") == [
        ("guid-1", "started"),
        ("guid-4", "started"),
    ]
    assert len(await outside.runs()) == 2


async def test_what_arrived_after_all_starts_nothing_more(outside: Street, whole: Front, catch_up: CatchUp) -> None:
    """It failed for GitHub, whose patience was over, and was stored here; or somebody had it delivered again."""
    payload = said(outside)
    await outside.deliver("issue_comment", payload, number="guid-7")
    whole.deliveries = [listed(8, payload, guid="guid-7")]
    await catch_up()
    await outside.settle()
    assert len(await outside.runs()) == 1


async def test_that_it_was_suspended_is_old_news_and_that_it_was_removed_is_not(
    outside: Street, whole: Front, catch_up: CatchUp
) -> None:
    about = {"action": "suspend", "installation": {"id": INSTALLATION}}
    whole.deliveries = [listed(1, about, event="installation", action="suspend")]
    await catch_up()
    assert await outside.rows("SELECT suspended_at, ended_at FROM agent_installations") == [(None, None)]
    gone = about | {"action": "deleted"}
    whole.deliveries = [listed(2, gone, event="installation", action="deleted")]
    await catch_up()
    ((ended,),) = await outside.rows("SELECT ended_at FROM agent_installations")
    assert ended is not None


async def test_each_time_it_goes_on_from_where_it_was(outside: Street, whole: Front, catch_up: CatchUp) -> None:
    whole.deliveries = [listed(1, said(outside), minutes=60)]
    await catch_up()
    ((until,),) = await outside.rows("SELECT until FROM agent_caught_up")
    assert abs(until - (NOW - timedelta(minutes=60))) < timedelta(seconds=1)
    whole.deliveries = [listed(2, said(outside), minutes=90)]
    await catch_up()
    assert len(await outside.rows("SELECT 1 FROM agent_trigger_events")) == 1
