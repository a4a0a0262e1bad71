"""Fetch a repository, with nothing in reach but its host. Reads JSON from standard input, writes JSON.

The base lies in /base.git, which the agent can read and never change; /work borrows its objects. So what the run began
with outlasts whatever the agent does to its own repository.
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

# Without pathlib: to import it takes 7 ms of every start.
BASE, WORK, SOURCE = "/base.git", "/work", "/source"
SETTINGS = "/tmp/gitconfig"  # noqa: S108 -- the sandbox's own
SSH = "/tmp/ssh"  # noqa: S108 -- the same
MESSAGE_MAX = 2000
LOCKS = re.compile(
    r"(package-lock|npm-shrinkwrap|composer|packages|Pipfile|deno)\.(lock|lock\.json|json)|package\.json|.*\.lock|.*\.lockb"
    r"|pnpm-lock\.yaml|requirements.*\.(txt|in)|pyproject\.toml|setup\.(py|cfg)|go\.(mod|sum)|Gemfile|Cargo\.toml"
    r"|gradle\.lockfile|build\.gradle(\.kts)?|pom\.xml|Makefile|\.tool-versions"
)


def git(*words: str, folder: str = "/", environment: dict[str, str] | None = None) -> str:
    """Run git and give what it says. Ends us with its words when it fails."""
    done = subprocess.run(
        ["/usr/bin/git", "-c", "http.followRedirects=false", *words],
        cwd=folder,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        print(json.dumps({"error": done.stderr[-MESSAGE_MAX:]}))  # noqa: T201 -- this is our answer
        sys.exit(1)
    return done.stdout.strip()


def main() -> None:
    """Clone."""
    asked = json.loads(sys.stdin.readline())
    # The operator's own folders belong to somebody else than the sandbox's account.
    with open(SETTINGS, "w", encoding="utf-8") as settings:  # noqa: PTH123 -- see the top
        settings.write("[safe]\n\tdirectory = *\n")
    os.environ["GIT_CONFIG_GLOBAL"] = SETTINGS
    address, ref = str(asked["address"]), str(asked["ref"])
    secret = _configured(address, str(asked["authorization"]))
    if isinstance(ssh := asked.get("ssh"), dict):
        os.environ["GIT_SSH_COMMAND"] = _ssh(ssh)
    where = f"file://{SOURCE}" if asked["is_local"] else address
    git("init", "--quiet", "--bare", "--initial-branch=main", BASE)
    # Everything is fetched under names of our own; the host's HEAD tells the default branch.
    refs = ["+refs/heads/*:refs/remotes/origin/*", "+HEAD:refs/pouch/head"]
    git("fetch", "--quiet", "--no-recurse-submodules", where, *refs, folder=BASE, environment=secret)
    head = git("ls-remote", "--symref", where, "HEAD", folder=BASE, environment=secret).partition("\n")[0]
    branch, sha = _find(ref, head.removeprefix("ref: refs/heads/").partition("\t")[0] if head[:4] == "ref:" else "")
    git("update-ref", "refs/pouch/base", sha, folder=BASE)
    git("init", "--quiet", "--initial-branch=main", WORK)
    with open(f"{WORK}/.git/objects/info/alternates", "w", encoding="utf-8") as alternates:  # noqa: PTH123 -- see the top
        alternates.write(f"{BASE}/objects\n")
    git("remote", "add", "origin", address if not asked["is_local"] else "pouch:local", folder=WORK)
    fetched = "+refs/remotes/origin/*:refs/remotes/origin/*"
    git("fetch", "--quiet", "--no-recurse-submodules", f"file://{BASE}", fetched, folder=WORK)
    begin = str(asked["begin"])
    if begin and branch:
        git("update-ref", f"refs/heads/{branch}", sha, folder=WORK)
    git("checkout", "--quiet", *(["-B", begin or branch] if begin or branch else ["--detach"]), sha, folder=WORK)
    print(json.dumps({"base_sha": sha, "branch": branch, "locks": _locks(sha)}))  # noqa: T201 -- this is our answer


def _ssh(access: "dict[str, str]") -> str:
    """The command with which git connects. Ends us with what the host shows, where nobody has confirmed its key."""
    os.makedirs(SSH, mode=0o700, exist_ok=True)  # noqa: PTH103 -- the same
    for name in ("key", "known_hosts"):
        with os.fdopen(os.open(f"{SSH}/{name}", os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(access[name])
    tunnel = "python3 -I -S -B /opt/pouch/pouch/agents/inside/tunnel.py %h %p"
    words = ["ssh", "-F", "/dev/null", "-p", access["port"]]
    options = ["BatchMode=yes", "IdentitiesOnly=yes", "GlobalKnownHostsFile=/dev/null", "ConnectTimeout=30"]
    options += [f"ProxyCommand={tunnel}", "HashKnownHosts=no", "UpdateHostKeys=no", "CheckHostIP=no"]
    for option in options:
        words += ["-o", option]
    if access["known_as"] not in [line.split(" ")[0] for line in access["known_hosts"].splitlines()]:
        _look(words, access["login"])
    words += ["-i", f"{SSH}/key", "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={SSH}/known_hosts"]
    return shlex.join(words)


def _look(words: "list[str]", login: str) -> None:
    """See which key the host shows, without showing ours."""
    seen = f"{SSH}/seen"
    options = ["StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={seen}", "PreferredAuthentications=none"]
    asking = [*words, *(part for option in [*options, "PubkeyAuthentication=no"] for part in ("-o", option))]
    done = subprocess.run(
        [*asking, login, "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = []
    if os.path.exists(seen):  # noqa: PTH110 -- the same
        with open(seen, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 -- see the top
            lines = file.read().splitlines()
    answer = {"seen_hosts": lines} if lines else {"error": done.stderr[-MESSAGE_MAX:]}
    print(json.dumps(answer))  # noqa: T201 -- this is our answer
    sys.exit(1)


def _locks(sha: str) -> str:
    """A digest of every file that says which versions of packages are wanted."""
    listed = git("ls-tree", "-r", "-z", "--full-tree", sha, folder=BASE).split("\0")
    wanted = sorted(line for line in listed if LOCKS.fullmatch(line.partition("\t")[2].rpartition("/")[2]))
    return hashlib.sha256("\0".join(wanted).encode(errors="surrogateescape")).hexdigest()


def _find(ref: str, default: str) -> tuple[str, str]:
    if not ref:
        return default or "main", git("rev-parse", "--verify", "refs/pouch/head^{commit}", folder=BASE)
    for name, branch in ((f"refs/remotes/origin/{ref}", ref), (f"refs/tags/{ref}", ""), (f"{ref}^{{commit}}", "")):
        known = subprocess.run(
            ["/usr/bin/git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
            cwd=BASE,
            capture_output=True,
            text=True,
            check=False,
        )
        if known.returncode == 0:
            return branch, known.stdout.strip()
    print(json.dumps({"error": f"There is no branch, tag or commit {ref}."}))  # noqa: T201 -- this is our answer
    sys.exit(1)


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
