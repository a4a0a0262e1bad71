"""Make what is kept of a run: a bundle, a patch and their figures, as a tar on standard output.

Runs in a second sandbox, where the workspace can only be read and no network is. The git folder is one of our own, so
nothing that the agent configured, hooked or linked in its repository takes part; its objects are borrowed.

    save.py BASE_SHA BRANCH MESSAGE
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

BASE, WORK, OUT = "/base.git", Path("/work"), Path("/out")
REPOSITORY = OUT / "repository.git"
SESSION = Path("/home/agent/.pouch/session.json")
SESSION_BYTES_MAX = 64 * 1024 * 1024
CHECKPOINT = "refs/pouch/checkpoint"
COMMITS_MAX, FILES_MAX = 1000, 10_000


def git(*words: str, tree: bool = False, check: bool = True) -> str:
    """Run git in our repository, with the agent's files where `tree`."""
    where = ["--git-dir", str(REPOSITORY), *(["--work-tree", str(WORK)] if tree else [])]
    done = subprocess.run(
        ["/usr/bin/git", *where, *words],
        cwd=WORK if tree else OUT,
        env=os.environ | {"GIT_INDEX_FILE": str(OUT / "index")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        check=check,
    )
    return done.stdout if done.returncode == 0 else ""


def main(base: str, branch: str, message: str) -> None:
    """Save."""
    if not base:
        # Whoever finds the place of a worker that died does not know what the run began with.
        base = git("--git-dir", BASE, "rev-parse", "refs/pouch/base").strip()
    git("init", "--quiet", "--bare", str(REPOSITORY))
    borrowed = [f"{BASE}/objects", *([f"{WORK}/.git/objects"] if (WORK / ".git/objects").is_dir() else [])]
    (REPOSITORY / "objects/info/alternates").write_text("\n".join(borrowed) + "\n")
    head = _head() or base
    git("read-tree", head)
    git("add", "--all", "--ignore-errors", tree=True, check=False)
    tree = git("write-tree").strip()
    is_unfinished = tree != git("rev-parse", f"{head}^{{tree}}").strip()
    if is_unfinished:
        head = git("commit-tree", tree, "-p", head, "-m", message).strip()
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
