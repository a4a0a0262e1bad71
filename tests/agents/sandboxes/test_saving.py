"""What is kept of a workspace: the agent's work, nothing that a set-up made, and nothing with a secret in it."""

from pathlib import Path

import pytest

from pouch.agents.sandboxes.saving import save
from pouch.agents.sandboxes.setting_up import note_made
from pouch.agents.sandboxes.types import Saved
from support.sandboxes import SUMS, Box, box, cloned, git, needs_bubblewrap, repository

pytestmark = [pytest.mark.anyio, needs_bubblewrap]

TOKEN = "npm-secret-value"
INSTALLS = (
    'echo "//registry/:_authToken=$NPM_TOKEN" > .npmrc; mkdir -p "own env/bin"; echo x > "own env/bin/tool"; '
    "echo '# by the set-up' >> test_sums.py; rm old.txt; echo template > notes.txt"
)


async def set_up(sandbox: Box, line: str) -> None:
    ran = await sandbox.bash(line, phase="setup")
    assert ran.ending.code == 0, ran.said
    await note_made(sandbox.sandbox)


async def works(sandbox: Box, line: str) -> None:
    ran = await sandbox.bash(line)
    assert ran.ending.code == 0, ran.said


def paths(saved: Saved) -> list[str]:
    return [each.path for each in saved.files]


def subjects(saved: Saved) -> list[str]:
    return [each.subject for each in saved.commits]


def everything_in(saved: Saved, folder: Path) -> str:
    """All that whoever fetches the bundle can read."""
    assert saved.bundle is not None
    git(folder, "fetch", "-q", str(saved.bundle), "+refs/heads/*:refs/heads/*")
    shown = git(folder, "rev-list", "--objects", "--all").splitlines()
    return "\n".join([*shown, *(git(folder, "cat-file", "-p", line.split(" ")[0]) for line in shown)])


async def test_what_a_set_up_made_is_not_the_agents_work(root: Path, tmp_path: Path) -> None:
    """New, changed and deleted files of the set-up stay out; what the agent changed of them is its work."""
    source = repository(tmp_path / "sums", SUMS | {"old.txt": "old\n"})
    async with box(root, setup_secrets={"NPM_TOKEN": TOKEN}) as sandbox:
        base = await cloned(sandbox, source)
        await set_up(sandbox, INSTALLS)
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "first")
        assert (saved.head_sha, saved.bundle, paths(saved)) == (base, None, [])
        await works(sandbox, "echo y >> sums.py; git commit -qm 'Work' sums.py")
        await works(sandbox, "echo more >> notes.txt; echo new > 'own env/new'")
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "second")
    assert saved.was_unfinished
    assert sorted(paths(saved)) == ["notes.txt", "own env/new", "sums.py"]
    assert saved.patch is not None
    assert TOKEN not in saved.patch.read_text()
    assert TOKEN not in everything_in(saved, source)


async def test_an_agent_that_adds_everything_passes_by_what_the_set_up_made(root: Path, tmp_path: Path) -> None:
    source = repository(tmp_path / "sums", SUMS)
    async with box(root, setup_secrets={"NPM_TOKEN": TOKEN}) as sandbox:
        base = await cloned(sandbox, source)
        await set_up(sandbox, "echo $NPM_TOKEN > .npmrc; mkdir 'own [env]'; echo x > 'own [env]/tool'")
        await works(sandbox, "echo y >> sums.py; git add --all; git commit -qm 'Real work'")
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "saved")
    assert (paths(saved), subjects(saved), saved.was_unfinished) == (["sums.py"], ["Real work"], False)


async def test_a_set_up_that_links_into_the_base_changes_nothing_there(root: Path, tmp_path: Path) -> None:
    """Else it could say there what is never to be saved."""
    async with box(root) as sandbox:
        base = await cloned(sandbox, repository(tmp_path / "sums", SUMS))
        await set_up(sandbox, "rm -r .git/info; ln -s /base.git/info .git/info; echo x > sums.txt")
        assert "sums.txt" not in (sandbox.sandbox.place.part("base.git") / "info/exclude").read_text()
        await works(sandbox, "rm .git/info; echo y > sums.txt")
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "saved")
    assert paths(saved) == ["sums.txt"]


@pytest.mark.parametrize(
    "leak",
    [
        "echo $API > config.py",
        'printf "\\0\\1%s" $API > image.bin',
        "printf %s $API | base64 > config.yaml",
        "echo x > $API.txt",
        "ln -s /tmp/$API link",
    ],
)
async def test_a_file_with_a_secret_in_it_is_not_kept(root: Path, tmp_path: Path, leak: str) -> None:
    source = repository(tmp_path / "sums", SUMS)
    async with box(root, run_secrets={"API": TOKEN}) as sandbox:
        base = await cloned(sandbox, source)
        await works(sandbox, f"echo y >> sums.py; {leak}")
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "saved", secrets=[TOKEN])
    assert paths(saved) == ["sums.py"]
    assert len(saved.withheld) == 1
    assert TOKEN not in everything_in(saved, source)


async def test_commits_that_hold_a_secret_are_made_anew_without_it(root: Path, tmp_path: Path) -> None:
    """What was committed before stays as it is, what the agent did afterwards is kept, and so is what was there."""
    source = repository(tmp_path / "sums", SUMS | {"config.py": "token = ''\n"})
    async with box(root, run_secrets={"API": TOKEN}) as sandbox:
        base = await cloned(sandbox, source)
        await works(sandbox, "echo a > first.txt; git add .; git commit -qm 'First'")
        await works(
            sandbox, "echo \"token = '$API'\" > config.py; echo b > second.txt; git add .; git commit -qm Second"
        )
        await works(sandbox, "git checkout -q HEAD~1 config.py; git commit -qm 'Take it back'; echo c > third.txt")
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "saved", secrets=[TOKEN])
    assert subjects(saved) == ["First", "Work in progress"]
    assert sorted(paths(saved)) == ["first.txt", "second.txt", "third.txt"]
    assert TOKEN not in everything_in(saved, source)


async def test_a_message_with_a_secret_is_not_kept_either(root: Path, tmp_path: Path) -> None:
    source = repository(tmp_path / "sums", SUMS)
    async with box(root, run_secrets={"API": TOKEN}) as sandbox:
        base = await cloned(sandbox, source)
        await works(sandbox, 'echo a > first.txt; git add .; git commit -qm "Use $API"')
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "saved", secrets=[TOKEN])
    assert (subjects(saved), paths(saved), saved.withheld) == (["Work in progress"], ["first.txt"], ())


async def test_branches_stashes_and_inner_repositories_that_are_not_kept_are_named(root: Path, tmp_path: Path) -> None:
    source = repository(tmp_path / "sums", SUMS)
    async with box(root) as sandbox:
        base = await cloned(sandbox, source)
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "first")
        assert (saved.branches, saved.nested) == ((), ())
        await works(
            sandbox, "git checkout -qb side; echo s > side.txt; git add .; git commit -qm Side; git checkout -q -"
        )
        await works(sandbox, "git branch merged; echo y >> sums.py; git stash -q; mkdir inner; cd inner; git init -q")
        await works(sandbox, "cd inner; echo n > n.txt; git add .; git commit -qm Inner; cd ..; echo z > z.txt")
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "second")
    assert (saved.branches, saved.nested) == (("side", "refs/stash"), ("inner",))
    assert sorted(paths(saved)) == ["inner", "z.txt"]


async def test_what_the_repository_shows_already_is_no_secret_in_it(root: Path, tmp_path: Path) -> None:
    """A password such as “postgres” must not take the work away."""
    source = repository(tmp_path / "sums", SUMS | {"compose.yaml": "image: postgres\n"})
    async with box(root) as sandbox:
        base = await cloned(sandbox, source)
        await works(sandbox, "echo 'postgres too' > other.yaml; git add .; git commit -qm 'Other'")
        saved = await save(sandbox.sandbox, base, "agent/x", tmp_path / "saved", secrets=["postgres", TOKEN])
    assert (paths(saved), subjects(saved), saved.withheld) == (["other.yaml"], ["Other"], ())
