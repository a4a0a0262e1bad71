"""The work of a run on its way to GitHub: one branch, one pull request, whatever happens in between."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agents.house import House
from agents.triggers.street import Street
from pouch.agents import steps, wishes
from pouch.agents.engines.types import AgentKind
from pouch.agents.errors import WrongState
from pouch.agents.sandboxes.pushing import Pushed, PushFailed, Work
from pouch.agents.sandboxes.types import Repository
from pouch.agents.start import Asked, Starter, start_run
from pouch.agents.steps import Kept
from pouch.agents.triggers import origins
from pouch.agents.triggers.github.bringing import Bringing
from pouch.agents.triggers.github.publishing import Publishing
from pouch.agents.triggers.origins import Publication, read_publication
from pouch.agents.triggers.types import Event, Found
from pouch.agents.types import Run, RunState
from pouch.base.ids import new_id
from pouch.base.money import Money
from support.github import FakeGitHub

pytestmark = pytest.mark.anyio

RESULT = {
    "base_sha": "a" * 40,
    "head_sha": "b" * 40,
    "branch": "pouch/1-mend",
    "files_changed": 1,
    "lines_added": 3,
    "lines_removed": 1,
    "commits": [{"sha": "b" * 40, "subject": "Mend the sum, @carol `x` #1"}],
}


@dataclass
class Remote:
    """A machine whose pushes go nowhere; the real ones are in tests/agents/sandboxes/test_pushing.py."""

    github: FakeGitHub
    answers: list[Pushed | Exception] = field(default_factory=list)
    pushed: list[tuple[str, str, str, bool, bytes]] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)

    async def push(self, name: str, repository: Repository, work: Work, branch: str, *, is_new: bool) -> Pushed:
        del name
        self.pushed.append((repository.address, branch, work.head_sha, is_new, work.bundle.read_bytes()))
        self.passwords.append(repository.password)
        answer = self.answers.pop(0) if self.answers else Pushed("pushed")
        if isinstance(answer, Pushed) and answer.is_there:
            self.github.was_pushed(branch)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Press:
    """Runs that were asked for on GitHub, and what brings their work there."""

    outside: Street
    remote: Remote
    publishing: Publishing
    tmp_path: Path

    @property
    def house(self) -> House:
        return self.outside.house

    async def ended(
        self,
        state: RunState = "succeeded",
        *,
        kind: AgentKind = "coder",
        head: str = "",
        pull: int = 0,
        changed: bool = True,
    ) -> Run:
        """A run that was asked for in an issue, and is over."""
        house = self.house
        number = self.outside.github.issue()
        asked = Asked(
            kind, f"#{number} Sums are wrong", "https://github.example/acme/app.git", "", Money.parse("1"), 600
        )
        starter = Starter(house.alice.organization_id, house.alice.id, "github", new_id().hex)
        place = {"repository": "acme/app", "number": str(number)}
        found = Found(
            "key", house.alice.id, "", place, full_name="acme/app", base="main", head=head, issue=number, pull=pull
        )
        async with house.database.transaction() as db:
            run, _ = await start_run(db, starter, asked, house.model)
            await origins.add(db, run, Event(new_id(), "github", "1", "100", {}), found)
        taken = await house.take(run)
        assert taken is not None
        bundle = self.tmp_path / "bundle"
        bundle.write_bytes(b"# v2 git bundle")
        result = RESULT if changed else RESULT | {"head_sha": RESULT["base_sha"]}
        async with house.database.transaction() as db:
            await steps.begin_to_run(db, taken.claim)
            await steps.keep_files(db, taken.claim, [Kept("bundle", "run.bundle", bundle)], result)
            return await steps.end(db, taken.claim, state, "")

    async def publish(self, run: Run) -> Publication | None:
        """Ring whatever the database says."""
        await self.publishing.publish(run.id)
        async with self.house.database.transaction() as db:
            return await read_publication(db, run.id)

    async def make_due(self) -> None:
        async with self.house.database.transaction() as db:
            await db.execute("UPDATE agent_publications SET due_at = now() WHERE due_at IS NOT NULL")

    def pulls(self, branch: str) -> list[dict[str, object]]:
        found = self.outside.github.ask("alice", "GET", f"/repos/acme/app/pulls?head=acme:{branch}&state=all")
        return [each for each in found if each["head"]["ref"] == branch]

    def told(self, run: Run) -> str:
        number = int(run.title.split()[0][1:])
        (comment,) = self.outside.github.comments(number)
        return str(comment["body"])


@pytest.fixture
def press(outside: Street, tmp_path: Path) -> Press:
    remote = Remote(outside.github)
    publishing = Publishing(outside.house.database, outside.app, remote, url="https://pouch.example")
    return Press(outside, remote, publishing, tmp_path)


async def test_good_work_is_pushed_and_a_pull_request_says_what_it_is_and_cost(press: Press) -> None:
    run = await press.ended()
    done = await press.publish(run)
    assert done is not None
    address, branch, head, is_new, bundle = press.remote.pushed[0]
    assert (address, branch, head) == ("https://github.example/acme/app.git", run.work_branch, RESULT["head_sha"])
    assert (is_new, bundle, done.state) == (True, b"# v2 git bundle", "published")
    (pull,) = press.pulls(run.work_branch)
    body = str(pull["body"])
    assert f"https://pouch.example/agents/{run.shown_id}" in body
    assert "- `Mend the sum, @carol 'x' #1`" in body
    assert "1 file changed, 3 lines added, 1 removed." in body
    assert "cost $" in body
    assert "@carol" not in str(pull["title"])
    await press.outside.tell()
    assert f"The work is in #{done.pull}." in press.told(run)


async def test_the_token_of_a_push_is_in_no_row_and_no_log(press: Press, caplog: pytest.LogCaptureFixture) -> None:
    press.remote.answers = [PushFailed("away"), Pushed("refused", "no")]
    run = await press.ended()
    await press.publish(run)
    await press.make_due()
    await press.publish(run)
    for table in ("agent_publications", "agent_origins", "agent_runs", "agent_run_events"):
        rows = str(await press.outside.rows(f"SELECT * FROM {table}"))
        assert not any(token in rows for token in press.remote.passwords)
    assert len(set(press.remote.passwords)) == 2
    assert not any(token in caplog.text for token in press.remote.passwords)


async def test_what_ended_otherwise_or_changed_nothing_is_not_brought_anywhere(press: Press) -> None:
    runs = [await press.ended("failed"), await press.ended("canceled"), await press.ended(changed=False)]
    assert [(await press.publish(run), press.remote.pushed)[1] for run in runs] == [[], [], []]
    assert await press.publish(await press.ended(kind="explainer")) is None


async def test_brought_twice_there_is_one_pull_request(press: Press) -> None:
    """A crash between the pull request and its row: the second try finds it by its branch."""
    run = await press.ended()
    first = await press.publish(run)
    async with press.house.database.transaction() as db:
        await db.execute(
            "UPDATE agent_publications SET state = 'waiting', pull = 0, pushed_sha = '', due_at = now() WHERE id = %s",
            (run.id,),
        )
    press.remote.answers = [Pushed("there")]
    second = await press.publish(run)
    assert first is not None
    assert second is not None
    assert (second.pull, len(press.pulls(run.work_branch))) == (first.pull, 1)


async def test_a_push_that_failed_is_tried_again_and_one_that_was_refused_is_told(press: Press) -> None:
    press.remote.answers = [PushFailed("away")]
    run = await press.ended()
    waiting = await press.publish(run)
    assert waiting is not None
    assert (waiting.state, waiting.pushed_sha) == ("waiting", "")
    await press.make_due()
    press.remote.answers = [Pushed("moved", "Somebody else has pushed to this branch meanwhile.")]
    failed = await press.publish(run)
    assert failed is not None
    assert failed.state == "failed"
    await press.outside.tell()
    assert "could not be brought here: Somebody else has pushed" in press.told(run)
    assert press.pulls(run.work_branch) == []


async def test_the_work_of_a_review_goes_to_the_branch_of_its_pull_request(press: Press) -> None:
    run = await press.ended(kind="fixer", head="pouch/1-first", pull=12)
    done = await press.publish(run)
    assert done is not None
    _, branch, _, is_new, _ = press.remote.pushed[0]
    assert (branch, is_new, done.state, done.pull) == ("pouch/1-first", False, "published", 12)
    assert press.pulls(run.work_branch) == []


async def test_a_run_that_goes_on_after_its_end_brings_the_rest_to_the_same_pull_request(press: Press) -> None:
    run = await press.ended()
    first = await press.publish(run)
    house = press.house
    async with house.database.transaction() as db:
        await wishes.say(db, run.organization_id, run.person_id, run.id, "And the docs.")
    taken = await house.take(run)
    assert taken is not None
    async with house.database.transaction() as db:
        await steps.begin_to_run(db, taken.claim)
        await steps.keep_files(db, taken.claim, [], RESULT | {"head_sha": "c" * 40})
        await steps.end(db, taken.claim, "succeeded", "")
    second = await press.publish(run)
    assert first is not None
    assert second is not None
    assert [(pushed[1], pushed[2][:1], pushed[3]) for pushed in press.remote.pushed] == [
        (run.work_branch, "b", True),
        (run.work_branch, "c", False),
    ]
    assert (second.state, second.pull, len(press.pulls(run.work_branch))) == ("published", first.pull, 1)


async def test_a_comment_that_was_written_before_a_crash_is_found_and_edited(press: Press) -> None:
    """The comment is there, its number was never stored, and meanwhile the run has ended."""
    house, outside = press.house, press.outside
    number = outside.github.issue()
    run = await house.start()
    place = {"repository": "acme/app", "number": str(number)}
    async with house.database.transaction() as db:
        found = Found("key", house.alice.id, "", place, full_name="acme/app", base="main", issue=number)
        await origins.add(db, run, Event(new_id(), "github", "1", "100", {}), found)
    await outside.tell()
    async with house.database.transaction() as db:
        await db.execute("UPDATE agent_origins SET message = '', attempts = 1 WHERE id = %s", (run.id,))
        await origins.tell_more(db, run.id)
    await outside.tell()
    (comment,) = outside.github.comments(number)
    ((message,),) = await outside.rows("SELECT message FROM agent_origins")
    assert message == str(comment["id"])


async def test_a_person_has_the_work_of_a_run_of_their_own_brought_there(press: Press) -> None:
    """It was started here, and its work is on the branch of its own; asked twice, it is one pull request."""
    run = await press.ended()
    bringing, house = Bringing(press.outside.app.names), press.house
    async with house.database.transaction() as db:
        await db.execute("DELETE FROM agent_publications WHERE id = %s", (run.id,))
        assert await bringing.is_possible(db, run)
        await bringing.bring(db, run.organization_id, run.id)
        with pytest.raises(WrongState):
            await bringing.bring(db, run.organization_id, run.id)
    done = await press.publish(run)
    assert done is not None
    assert (done.state, len(press.pulls(run.work_branch))) == ("published", 1)
    (pull,) = press.pulls(run.work_branch)
    assert pull["number"] == done.pull


async def test_there_is_nothing_to_bring_of_what_changed_nothing_or_lies_elsewhere(press: Press) -> None:
    bringing = Bringing(press.outside.app.names)
    unchanged, read_only = await press.ended(changed=False), await press.ended(kind="planner")
    elsewhere = replace(await press.ended(), repository="https://github.example/carol/other.git")
    async with press.house.database.transaction() as db:
        assert not any([await bringing.is_possible(db, run) for run in (unchanged, read_only, elsewhere)])


async def test_nothing_is_brought_to_an_account_that_is_not_connected_any_more(press: Press) -> None:
    run = await press.ended()
    async with press.house.database.transaction() as db:
        await db.execute("UPDATE agent_installations SET ended_at = now()")
    done = await press.publish(run)
    assert done is not None
    assert (done.state, press.remote.pushed) == ("failed", [])
