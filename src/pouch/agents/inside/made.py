"""Write down what a set-up made, so that nobody takes it for the agent's work.

Runs right after a set-up, where the base can still be written. The index is one of our own and the git folder is the
base's, so nothing that the set-up configured, hooked or linked takes part, and no content is stored: only names.

/base.git/set-up then holds what git would call changed by the set-up: mode, id and path, before and after it.
"""

import os
import subprocess
from pathlib import Path

BASE, WORK = "/base.git", "/work"
MADE = Path(BASE, "set-up")
INDEX = Path(BASE, "set-up.index")
EXCLUDED_MAX = 1000


def git(*words: str, given: bytes = b"") -> bytes:
    """Run git on the agent's files, with the base's settings."""
    environment = os.environ | {
        "GIT_DIR": BASE,
        "GIT_WORK_TREE": WORK,
        "GIT_INDEX_FILE": str(INDEX),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{WORK}/.git/objects",
    }
    return subprocess.run(
        ["/usr/bin/git", *words], cwd=WORK, env=environment, input=given, stdout=subprocess.PIPE, check=True
    ).stdout


def main() -> None:
    """Write it down."""
    # Where the set-up took the repository away, everything is compared with what the run began with.
    done = subprocess.run(
        ["/usr/bin/git", "--git-dir", f"{WORK}/.git", "rev-parse", "--verify", "--quiet", "HEAD^{commit}"],
        capture_output=True,
        check=False,
    )
    head = done.stdout.decode().strip() or git("rev-parse", "refs/pouch/base").decode().strip()
    git("read-tree", head)
    changed = git("ls-files", "-z", "--others", "--exclude-standard", "--modified", "--deleted")
    git("update-index", "--add", "--remove", "--info-only", "-z", "--stdin", given=changed)
    made = git("diff-index", "--cached", "--raw", "--no-abbrev", "--no-renames", "-z", head)
    draft = MADE.with_name("set-up.new")
    draft.write_bytes(made)
    draft.replace(MADE)
    git("read-tree", head)
    _exclude(git("ls-files", "-z", "--others", "--exclude-standard", "--directory", "--no-empty-directory"))
    INDEX.unlink()


def _exclude(new: bytes) -> None:
    """Let the agent's own `git add --all` pass by what the set-up made; ours does not, so nothing of it is lost."""
    info = Path(WORK, ".git/info")
    # The set-up may have put a link there, and from here it would lead into the base.
    if info.resolve() != info or (info / "exclude").is_symlink():
        return
    lines = [b"/" + _escaped(name) for name in new.split(b"\0") if name and b"\n" not in name]
    if lines:
        info.mkdir(exist_ok=True)
        with (info / "exclude").open("ab") as file:
            file.write(b"\n".join([b"", b"# What the set-up made:", *lines[:EXCLUDED_MAX], b""]))


def _escaped(name: bytes) -> bytes:
    return b"".join(b"\\" + bytes([each]) if each in b"\\*?[ " else bytes([each]) for each in name)


if __name__ == "__main__":
    main()
