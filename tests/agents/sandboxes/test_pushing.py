"""Bringing saved work to its repository: only forward, only what was saved, with a token that stays in one sandbox."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pouch.agents.machine import Machine
from pouch.agents.sandboxes.bubblewrap import Bubblewrap
from pouch.agents.sandboxes.cloning import Sources
from pouch.agents.sandboxes.host import Outside
from pouch.agents.sandboxes.pushing import Pushed, PushFailed, Work
from pouch.agents.sandboxes.types import Repository
from support.git_host import BACKEND, GitHost, git_host
from support.sandboxes import SMALL, SUMS, git, needs_bubblewrap, repository

pytestmark = [
    pytest.mark.anyio,
    needs_bubblewrap,
    pytest.mark.skipif(
        not BACKEND.exists() or shutil.which("openssl") is None, reason="only with git's http server and openssl"
    ),
]
TOKEN, BRANCH = "ghs_for-this-push", "pouch/1-mend"


@dataclass
class Yard:
    """A repository on a host, and a clone of it with work in it."""

    host: GitHost
    bare: Path
    clone: Path
    machine: Machine
    base: str

    def work(self, text: str = "return a + b", *, branch: str = "work", onto: str = "") -> Work:
        git(self.clone, "checkout", "-q", "-B", branch, onto or self.base)
        (self.clone / "sums.py").write_text(f"def add(a, b):\n    {text}\n")
        git(self.clone, "commit", "-q", "-a", "-m", "Mend the sum")
        bundle, base = self.clone.parent / f"{branch}.bundle", onto or self.base
        git(self.clone, "bundle", "create", "-q", str(bundle), f"refs/heads/{branch}", f"^{base}")
        return Work(bundle, branch, base, git(self.clone, "rev-parse", "HEAD"))

    async def push(
        self, work: Work, branch: str = BRANCH, *, is_new: bool = True, password: str = TOKEN, name: str = "push-1"
    ) -> Pushed:
        where = Repository(self.host.url("sums.git"), password=password)
        return await self.machine.push(name, where, work, branch, is_new=is_new)

    def there(self, branch: str = BRANCH) -> str:
        return git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")


@pytest.fixture
def yard(tmp_path: Path, root: Path) -> Iterator[Yard]:
    source, served = repository(tmp_path / "source", SUMS), tmp_path / "host"
    served.mkdir()
    git(served, "clone", "-q", "--bare", str(source), "sums.git")
    git(tmp_path, "clone", "-q", str(source), "clone")
    with git_host(served) as host:
        host.lets_push = lambda password: password == TOKEN
        sources = Sources(private_hosts=("localhost",), certificates=host.certificate)
        machine = Machine(
            Bubblewrap(root, outside=Outside(private_hosts=("localhost",))), sources=sources, limits=SMALL
        )
        yard = Yard(host, served / "sums.git", tmp_path / "clone", machine, git(source, "rev-parse", "HEAD"))
        yield yard


async def test_work_is_pushed_to_a_branch_and_pushed_again_it_is_there(yard: Yard, root: Path) -> None:
    work = yard.work()
    assert (await yard.push(work)).state == "pushed"
    assert yard.there() == work.head_sha
    assert (await yard.push(work, name="push-2")).state == "there"
    assert not [each.name for each in root.iterdir() if each.name.startswith("push")]


async def test_a_branch_of_the_same_name_is_left_alone(yard: Yard) -> None:
    git(yard.bare, "branch", BRANCH, yard.base)
    pushed = await yard.push(yard.work())
    assert (pushed.state, yard.there()) == ("moved", yard.base)


async def test_a_branch_goes_only_forward(yard: Yard) -> None:
    """The work of a second run grows on the first one's; what somebody pushed meanwhile is never thrown away."""
    first = yard.work(branch="first")
    await yard.push(first)
    second = yard.work("return b + a", branch="second", onto=first.head_sha)
    assert (await yard.push(second, is_new=False, name="push-2")).state == "pushed"
    late = yard.work("return sum((a, b))", branch="late", onto=first.head_sha)
    assert (await yard.push(late, is_new=False, name="push-3")).state == "moved"
    assert yard.there() == second.head_sha


async def test_what_is_not_the_work_that_was_saved_is_refused(yard: Yard) -> None:
    work = yard.work()
    other = yard.work("return 5", branch="other")
    mixed = Work(other.bundle, other.bundled_branch, other.base_sha, work.head_sha)
    broken = Work(work.bundle.with_name("broken"), work.bundled_branch, work.base_sha, work.head_sha)
    broken.bundle.write_bytes(work.bundle.read_bytes()[:-40])
    assert (await yard.push(mixed)).state == "refused"
    assert (await yard.push(broken, name="push-2")).state == "refused"
    assert yard.there() == ""


async def test_a_token_that_is_not_taken_is_said_without_the_token(yard: Yard) -> None:
    pushed = await yard.push(yard.work(), password="ghs_of-somebody-else")
    assert (pushed.state, "403" in pushed.why, "ghs_" in pushed.why) == ("refused", True, False)
    assert yard.there() == ""


async def test_a_host_that_is_away_is_tried_again_later(yard: Yard) -> None:
    work = yard.work()
    with pytest.raises(PushFailed):
        await yard.machine.push("push-1", Repository("https://localhost:9/sums.git"), work, BRANCH, is_new=True)
