"""Make what is kept of a run: a bundle, a patch and their figures, as a tar on standard output.

Runs in a second sandbox, where the workspace can only be read and no network is. The git folder is one of our own, so
nothing that the agent configured, hooked or linked in its repository takes part; its objects are borrowed.

Rules. What the set-up made and the agent left as it was is not the agent's work (see `made.py`). Nothing that holds a
secret leaves the sandbox: files with one stay as they were before, and commits with one are made anew without it.

    save.py BASE_SHA BRANCH MESSAGE      the secrets' values come in as a line of JSON
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

sys.path.insert(0, "/opt/pouch")

from pouch.agents.inside.leaks import Leaks

BASE, WORK, OUT = "/base.git", Path("/work"), Path("/out")
MADE = Path(BASE, "set-up")
REPOSITORY = OUT / "repository.git"
SESSION = Path("/home/agent/.pouch/session.json")
SESSION_BYTES_MAX = 64 * 1024 * 1024
NOTHING = f"0 {'0' * 40}"
BRANCHES_MAX = 50
COMMITS_MAX, FILES_MAX = 1000, 10_000


def git(*words: str, tree: bool = False, check: bool = True, given: str = "") -> str:
    """Run git in our repository, with the agent's files where `tree`."""
    where = ["--git-dir", str(REPOSITORY), *(["--work-tree", str(WORK)] if tree else [])]
    done = subprocess.run(
        ["/usr/bin/git", *where, *words],
        cwd=WORK if tree else OUT,
        env=os.environ | {"GIT_INDEX_FILE": str(OUT / "index")},
        input=given,
        stdout=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        check=check,
    )
    return done.stdout if done.returncode == 0 else ""


def main(base: str, branch: str, message: str) -> None:
    """Save."""
    secrets = [str(each) for each in json.loads(sys.stdin.buffer.readline() or b"[]")]
    if not base:
        # Whoever finds the place of a worker that died does not know what the run began with.
        base = git("--git-dir", BASE, "rev-parse", "refs/pouch/base").strip()
    git("init", "--quiet", "--bare", str(REPOSITORY))
    borrowed = [f"{BASE}/objects", *([f"{WORK}/.git/objects"] if (WORK / ".git/objects").is_dir() else [])]
    (REPOSITORY / "objects/info/alternates").write_text("\n".join(borrowed) + "\n")
    head = _head() or base
    git("read-tree", head)
    git("add", "--all", "--ignore-errors", tree=True, check=False)
    _leave_made(head)
    tree = git("write-tree").strip()
    is_unfinished = tree != git("rev-parse", f"{head}^{{tree}}").strip()
    if is_unfinished:
        head = git("commit-tree", tree, "-p", head, "-m", message).strip()
    head, withheld = _without(base, head, message, Leaks(REPOSITORY, OUT, secrets)) if secrets else (head, [])
    git("update-ref", f"refs/heads/{branch}", head)
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        if head != base:
            git("bundle", "create", "--quiet", str(OUT / "run.bundle"), f"refs/heads/{branch}", f"^{base}")
            tar.add(OUT / "run.bundle", "run.bundle")
            with (OUT / "run.patch").open("wb") as patch:
                words = [
                    "/usr/bin/git",
                    "--git-dir",
                    str(REPOSITORY),
                    "diff",
                    "--binary",
                    "--no-ext-diff",
                    "--no-textconv",
                ]
                subprocess.run([*words, base, head], stdout=patch, stdin=subprocess.DEVNULL, check=True)
            tar.add(OUT / "run.patch", "run.patch")
        if SESSION.is_file() and SESSION.stat().st_size <= SESSION_BYTES_MAX:
            _add(tar, "session.json", SESSION.read_bytes())
        figures = {"base_sha": base, "head_sha": head, "was_unfinished": is_unfinished, "files": _files(base, head)}
        figures["withheld"] = withheld[:FILES_MAX]
        figures |= {"branches": _other_branches(), "nested": _nested(base, head)}
        _add(tar, "result.json", json.dumps(figures | {"commits": _commits(base, head)}).encode())


def _head() -> str | None:
    """The agent's last commit, when it has one that git can read whole."""
    done = subprocess.run(
        ["/usr/bin/git", "--git-dir", f"{WORK}/.git", "rev-parse", "--verify", "--quiet", "HEAD^{commit}"],
        capture_output=True,
        text=True,
        check=False,
    )
    sha = done.stdout.strip()
    return sha if sha and git("rev-list", "--objects", "--max-count=1", sha, check=False) else None


def _other_branches() -> list[str]:
    """Branches of the agent's, and its stash, with commits that the one which is kept does not have."""
    refs = _in_work("for-each-ref", "--format=%(refname)", "refs/heads", "refs/stash").split()
    return [
        ref.removeprefix("refs/heads/")
        for ref in refs[:BRANCHES_MAX]
        if _in_work("rev-list", "--max-count=1", ref, "--not", "HEAD", "--remotes").strip()
    ]


def _nested(base: str, head: str) -> list[str]:
    """Repositories inside of the workspace, of which git keeps nothing but the id of a commit."""
    before = _entries("ls-tree", "-r", base)
    found = [
        path
        for path, entry in _entries("ls-tree", "-r", head).items()
        if entry.startswith("160000") and before.get(path) != entry
    ]
    return [path.encode(errors="surrogateescape").decode(errors="replace") for path in found[:BRANCHES_MAX]]


def _in_work(*words: str) -> str:
    words = ("/usr/bin/git", "--git-dir", f"{WORK}/.git", *words)
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    return done.stdout if done.returncode == 0 else ""


def _leave_made(head: str) -> None:
    """Leave out what the set-up made or changed, where it is still as the set-up left it."""
    if not MADE.exists():
        return
    words = MADE.read_text(errors="surrogateescape").split("\0")
    made = {}
    for line, path in zip(words[::2], words[1::2], strict=False):
        _, mode, _, id_, _ = line.split(" ")
        made[path] = None if mode == "000000" else f"{mode} {id_}"
    now, before = _entries("ls-files", "--stage"), _entries("ls-tree", "-r", head)
    mine = {path for path, entry in made.items() if now.get(path) == entry and before.get(path) != entry}
    left = now.keys() - mine
    folders = {str(parent) for path in left for parent in PurePosixPath(path).parents}
    _put(dict.fromkeys(mine & now.keys()))
    # A file does not come back where the agent has made a folder since, nor the other way round.
    _put(
        {
            path: before[path]
            for path in mine & before.keys()
            if path not in folders and not any(str(parent) in left for parent in PurePosixPath(path).parents)
        }
    )


def _without(base: str, head: str, message: str, leaks: Leaks) -> tuple[str, list[str]]:
    """The work without what holds a secret, and the paths of that."""
    if not leaks.between(base, [head]):
        return head, []
    leaks.ignore_shown_in(base)
    leaking = leaks.between(base, [head])
    if not leaking:
        return head, []
    clean = _last_clean(base, head, leaks)
    there, before = _entries("ls-tree", "-r", head), _entries("ls-tree", "-r", clean)
    withheld = sorted(path for path, entry in there.items() if entry.split(" ")[1] in leaking or leaks.is_in(path))
    git("read-tree", head)
    _put(dict.fromkeys(withheld))
    _put({path: before[path] for path in withheld if path in before and not leaks.is_in(path)})
    tree = git("write-tree").strip()
    if tree == git("rev-parse", f"{clean}^{{tree}}").strip():
        head = clean
    else:
        head = git("commit-tree", tree, "-p", clean, "-m", message).strip()
    shown = [path.encode(errors="surrogateescape").decode(errors="replace") for path in withheld]
    return (base if leaks.between(base, [head]) else head), shown


def _last_clean(base: str, head: str, leaks: Leaks) -> str:
    """The last commit on the way to the head up to which nothing holds a secret."""
    way = [base, *git("rev-list", "--reverse", "--first-parent", f"{base}..{head}").split()]
    clean, leaking = 0, len(way) - 1
    while leaking - clean > 1:
        middle = (clean + leaking) // 2
        clean, leaking = (clean, middle) if leaks.between(base, [way[middle]]) else (middle, leaking)
    return way[clean]


def _entries(*words: str) -> dict[str, str]:
    """Mode and id of each path, in the index or in a tree."""
    found = {}
    for line in git(words[0], "-z", *words[1:]).split("\0"):
        facts, _, path = line.partition("\t")
        if path:
            mode, *_, id_ = facts.split(" ") if words[0] == "ls-tree" else facts.split(" ")[:2]
            found[path] = f"{mode} {id_}"
    return found


def _put(entries: "dict[str, str | None]") -> None:
    """Write entries into our index; None takes a path out."""
    lines = (f"{entry or NOTHING}\t{path}\0" for path, entry in entries.items())
    git("update-index", "-z", "--index-info", given="".join(lines))


def _files(base: str, head: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    words = git("diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", base, head).split("\0")
    for line in words[:FILES_MAX]:
        added, _, rest = line.partition("\t")
        removed, _, path = rest.partition("\t")
        if path:
            is_binary = added == "-"
            path = path.encode(errors="surrogateescape").decode(errors="replace")
            lines = [0, 0] if is_binary else [int(added), int(removed)]
            found.append({"path": path, "added": lines[0], "removed": lines[1], "is_binary": is_binary})
    return found


def _commits(base: str, head: str) -> list[dict[str, str]]:
    lines = git("log", "--reverse", "-z", f"--max-count={COMMITS_MAX}", "--format=%H%x09%s", f"{base}..{head}")
    pairs = (line.partition("\t") for line in lines.split("\0") if line)
    return [
        {"sha": sha, "subject": subject.encode(errors="surrogateescape").decode(errors="replace")[:500]}
        for sha, _, subject in pairs
    ]


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    main(*sys.argv[1:])
