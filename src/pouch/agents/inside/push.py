"""Bring the work of a run to its repository, with nothing in reach but its host. Reads JSON and then a bundle.

Runs in a sandbox of its own, which no agent ever saw: the commits come as a bundle, which is data. Only a branch is
pushed, never by force; what is there already is left alone.

Answers with JSON: {"state": "pushed" | "there" | "moved" | "refused" | "failed", "error": "…"}.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

BASE, BUNDLE = "/base.git", Path("/work/run.bundle")
WORK_REF = "refs/pouch/work"
MESSAGE_MAX = 1000


def git(*words: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run git in a bare repository of our own."""
    return subprocess.run(
        ["/usr/bin/git", "-c", "http.followRedirects=false", "-c", "core.hooksPath=/dev/null", *words],
        cwd=BASE,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def end(state: str, error: str = "") -> NoReturn:
    """Say what became of it."""
    print(json.dumps({"state": state, "error": error.strip()[-MESSAGE_MAX:]}))  # noqa: T201 -- this is our answer
    sys.exit(0)


def main() -> None:
    """Push."""
    asked = {name: str(value) for name, value in json.loads(sys.stdin.buffer.readline()).items()}
    with BUNDLE.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    address, branch, head, base = asked["address"], f"refs/heads/{asked['branch']}", asked["head"], asked["base"]
    secret = _configured(address, asked["authorization"])
    git("init", "--quiet", "--bare", "--initial-branch=main", BASE)
    listed = git("ls-remote", "--exit-code", address, branch, environment=secret)
    if listed.returncode not in {0, 2}:
        end("failed", listed.stderr)
    there = listed.stdout.partition("\t")[0]
    if there == head:
        end("there")
    if there and asked["is_new"] == "True":
        end("moved", "There is another branch of this name.")
    fetched = git("fetch", "--quiet", address, "+refs/heads/*:refs/remotes/origin/*", environment=secret)
    if fetched.returncode:
        end("failed", fetched.stderr)
    # What an agent made is looked through as if a stranger had sent it.
    unpacked = git("-c", "fetch.fsckObjects=true", "fetch", "--quiet", str(BUNDLE), f"+{asked['bundled']}:{WORK_REF}")
    found = git("rev-parse", "--verify", "--quiet", f"{WORK_REF}^{{commit}}").stdout.strip()
    if unpacked.returncode or found != head or git("merge-base", "--is-ancestor", base, head).returncode:
        end("refused", unpacked.stderr or "The saved work is not what it should be.")
    if there and git("merge-base", "--is-ancestor", there, head).returncode:
        end("moved", "Somebody else has pushed to this branch meanwhile.")
    pushed = git("push", "--quiet", "--no-verify", address, f"{head}:{branch}", environment=secret)
    if pushed.returncode == 0:
        end("pushed")
    words = pushed.stderr
    end("refused" if "rejected]" in words or "denied" in words or "error: 403" in words else "failed", words)


def _configured(address: str, authorization: str) -> dict[str, str]:
    """The secret stands in the environment of one git, never in its arguments or in a file."""
    if not authorization:
        return {}
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{address}.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: {authorization}",
    }


if __name__ == "__main__":
    main()
