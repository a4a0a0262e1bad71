"""What a set-up left in the workspace, in a real sandbox: none of it is committed, kept or shown."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from agents.boxed import machine
from agents.shop import Shop
from pouch.agents.artifacts import newest, read_whole
from pouch.agents.jobs import AgentJobs
from pouch.agents.types import Run
from pouch.agents.workshop import Place
from pouch.base.database import Connection
from support.sandboxes import git, needs_bubblewrap, places

pytestmark = [pytest.mark.anyio, needs_bubblewrap]

TOKEN, LICENCE = "npm-secret-value", "licence-number-7"
PLACE = Place(
    ('echo "//registry/:_authToken=$NPM_TOKEN" > .npmrc; mkdir env; echo x > env/tool',),
    setup_secrets={"NPM_TOKEN": TOKEN},
    run_secrets={"LICENCE": LICENCE},
)
COMMITS = "sed -i s/-/+/ calc.py; git add --all; git commit -qm 'Add instead'; "


@pytest.fixture
def root() -> Iterator[Path]:
    with places() as folder:
        yield folder


async def worked(shop: Shop, root: Path, script: str) -> Run:
    async def place_of(_db: Connection, _run: Run) -> Place:
        return PLACE

    shop.folder.chmod(0o755)
    run = await shop.house.start(repository=shop.repository)
    workshop = machine(root, shop.repository, script)
    database = shop.house.database
    await AgentJobs(database, workshop, gateway_url="http://127.0.0.1:9", place_of=place_of).work_on(run.id)
    return await shop.house.run(run)


async def kept_by(shop: Shop, run_id: UUID) -> tuple[str, str]:
    """The patch, and everything that the bundle holds."""
    async with shop.house.database.transaction() as db:
        patch, bundle = await newest(db, run_id, "patch"), await newest(db, run_id, "bundle")
    assert patch is not None
    assert bundle is not None
    text = (await read_whole(shop.house.database, patch, 1_000_000)).decode()
    file, source = shop.folder / "kept.bundle", Path(shop.repository)
    file.write_bytes(await read_whole(shop.house.database, bundle, 1_000_000))
    git(source, "fetch", "-q", str(file), "+refs/heads/*:refs/kept/*")
    ids = [line.split(" ")[0] for line in git(source, "rev-list", "--objects", "--all").splitlines()]
    return text, "\n".join(git(source, "cat-file", "-p", each) for each in ids)


async def test_a_run_keeps_the_agents_commit_and_nothing_of_its_set_up(shop: Shop, root: Path) -> None:
    done = await worked(shop, root, COMMITS)
    assert (done.state, done.result["was_unfinished"]) == ("succeeded", False)
    assert done.result["files_changed"] == 1
    patch, bundle = await kept_by(shop, done.id)
    assert "return a + b" in patch
    assert TOKEN not in patch + bundle
    assert not [each for each in await shop.events(done) if each.type == "notice"]


async def test_a_run_that_changes_nothing_has_changed_nothing_whatever_its_set_up_made(shop: Shop, root: Path) -> None:
    done = await worked(shop, root, "true")
    assert (done.state, done.result["files_changed"], done.result["commits"]) == ("succeeded", 0, [])


async def test_a_secret_that_an_agent_commits_is_not_kept_and_the_run_says_so(shop: Shop, root: Path) -> None:
    done = await worked(
        shop, root, COMMITS + "echo $LICENCE > key.txt; git add -f key.txt .npmrc; git commit -qm 'Keys'"
    )
    assert done.state == "succeeded"
    assert [each["subject"] for each in list_of(done.result["commits"])] == ["Add instead"]
    assert list_of(done.result["files"]) == [{"path": "calc.py", "added": 1, "removed": 1, "is_binary": False}]
    patch, bundle = await kept_by(shop, done.id)
    assert TOKEN not in patch + bundle
    assert LICENCE not in patch + bundle
    (notice,) = [each.body for each in await shop.events(done) if each.type == "notice"]
    assert notice == {
        "code": "secret_withheld",
        "text": "Not kept, for a secret of the environment is in it: .npmrc, key.txt.",
    }


def list_of(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value
