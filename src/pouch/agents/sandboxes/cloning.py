"""Fetch a repository into a sandbox: what may be named, and how git is kept to it.

- https, or ssh with a deploy key, by name, to one host, whose address is public, looked up once; or a folder under
  `[agents] local_roots`. A host of ssh is believed once its key was confirmed; before, its key is looked at and told.
- No redirects, no submodules, no hooks, no other protocol; refs are checked here and are never part of a command line.
- A token is in the environment of git in this one sandbox, a deploy key in its memory; it ends before anything of the
  repository is run.
"""

import base64
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from pouch.agents.sandboxes.errors import CloneFailed, HostUnknown, SourceRefused
from pouch.agents.sandboxes.running import run_to_end
from pouch.agents.sandboxes.ssh import PORT, SshAddress, read_ssh
from pouch.agents.sandboxes.types import Cloned, Command, Egress, Mount, Repository, Sandbox
from pouch.agents.sandboxes.visible import program

TIMEOUT_S = 3600
ADDRESS_MAX = 1000
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9._~/+@-]+", re.ASCII)
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_NOT_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-/.]|[/.]$|^@$")
_PASSWORD = re.compile(r"://[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where repositories may come from, as the operator says."""

    local_roots: Sequence[Path] = ()
    private_hosts: Collection[str] = ()
    """Names of git hosts that need not be public."""
    certificates: Path | None = None
    """Further certificates that git trusts."""


@dataclass(frozen=True, slots=True)
class Address:
    """A repository's address, looked at."""

    text: str
    host: str = ""
    port: int = 443
    folder: Path | None = None
    ssh: SshAddress | None = None


def check_address(address: str, sources: Sources, *, has_key: bool = False) -> Address:
    """Read a repository's address; one of ssh needs a deploy key. Raises SourceRefused with the reason."""
    if not address or len(address) > ADDRESS_MAX or not address.isprintable():
        raise SourceRefused("Name the repository by its https address.", field="repository")
    if address.startswith(("/", "~", ".", "file:")):
        return _local(address, sources.local_roots)
    if has_key and (ssh := read_ssh(address)) is not None:
        _check_host(ssh.host, sources)
        if ssh.port != PORT and ssh.host not in sources.private_hosts:
            raise SourceRefused("Repositories are fetched over ssh from port 22 only.", field="repository")
        return Address(ssh.text, ssh.host, ssh.port, ssh=ssh)
    try:
        parts = urlsplit(address)
        port = parts.port or 443
    except ValueError:
        raise SourceRefused("The repository's address cannot be read.", field="repository") from None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "https":
        text = "Repositories are fetched over https only, or over ssh with a deploy key of an environment."
        raise SourceRefused(text, field="repository")
    if parts.username is not None or parts.password is not None:
        raise SourceRefused("Leave name and password out of the address.", field="repository")
    _check_host(host, sources)
    if port != 443 and host not in sources.private_hosts:
        raise SourceRefused("Repositories are fetched from port 443 only.", field="repository")
    if parts.query or parts.fragment or not _PATH.fullmatch(parts.path) or "/../" in f"{parts.path}/":
        raise SourceRefused("The repository's address has characters that do not belong there.", field="repository")
    shown = host if port == 443 else f"{host}:{port}"
    return Address(f"https://{shown}{parts.path}", host, port)


def check_ref(ref: str) -> str:
    """A branch, tag or commit as git allows it. Raises SourceRefused."""
    if len(ref) > 255 or _NOT_IN_REFS.search(ref):
        raise SourceRefused("This is no branch, tag or commit.", field="ref")
    return ref


async def clone(sandbox: Sandbox, repository: Repository, sources: Sources, *, begin: str = "") -> Cloned:
    """Fill the workspace, and `begin` a branch there. Raises SourceRefused, CloneFailed, SandboxFailed."""
    address = check_address(repository.address, sources, has_key=repository.ssh is not None)
    ref = check_ref(repository.ref)
    mounts, environment = [], {"GIT_CONFIG_NOSYSTEM": "1", "GIT_HTTP_LOW_SPEED_LIMIT": "1000"}
    environment |= {"GIT_HTTP_LOW_SPEED_TIME": "60"}
    if address.folder is not None:
        mounts.append(Mount(address.folder, "/source"))
    elif sources.certificates is not None:
        mounts.append(Mount(sources.certificates, "/run/pouch/certificates.pem"))
        environment["GIT_SSL_CAINFO"] = "/run/pouch/certificates.pem"
    command = Command(
        argv=program("clone"),
        phase="clone",
        timeout_s=TIMEOUT_S,
        environment=environment,
        egress=Egress((address.host,), (address.port,)) if address.host else Egress(),
        mounts=tuple(mounts),
    )
    asked: dict[str, object] = {
        "address": address.text if address.host else "",
        "ref": ref,
        "begin": check_ref(begin),
        "is_local": address.folder is not None,
        "authorization": authorization_of(repository) if address.ssh is None else "",
    }
    if address.ssh is not None and repository.ssh is not None:
        environment["GIT_ALLOW_PROTOCOL"] = "ssh:file"
        asked["ssh"] = {
            "key": repository.ssh.private_key,
            "known_hosts": repository.ssh.known_hosts,
            "known_as": address.ssh.known_as,
            "login": f"{address.ssh.user}@{address.ssh.host}",
            "port": str(address.ssh.port),
        }
    done = await run_to_end(sandbox, command, orjson.dumps(asked) + b"\n")
    try:
        answer = orjson.loads(done.out)
        sha, branch = answer.get("base_sha", ""), answer.get("branch", "")
        seen, locks = answer.get("seen_hosts"), str(answer.get("locks", ""))[:64]
    except (orjson.JSONDecodeError, AttributeError):
        raise CloneFailed("The repository could not be fetched in time.") from None
    if isinstance(seen, list):
        raise HostUnknown(address.host, [str(line)[:10_000] for line in seen])
    if not _SHA.fullmatch(sha):
        raise CloneFailed(_words(str(answer.get("error", "")), repository))
    return Cloned(sha, branch if branch and not _NOT_IN_REFS.search(branch) else "", locks)


def _check_host(host: str, sources: Sources) -> None:
    if not _HOST.fullmatch(host) or ("." not in host and host not in sources.private_hosts):
        raise SourceRefused("The repository's address names no host.", field="repository")
    if re.fullmatch(r"[0-9.]+", host):
        raise SourceRefused("Name the repository's host, not its number.", field="repository")


def authorization_of(repository: Repository) -> str:
    """The header with which git says who it is, or nothing."""
    if not repository.password:
        return ""
    pair = f"{repository.username}:{repository.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def _local(address: str, roots: Sequence[Path]) -> Address:
    folder = Path(address.removeprefix("file://")).expanduser().absolute().resolve()
    if not any(folder.is_relative_to(root.expanduser().resolve()) for root in roots):
        raise SourceRefused(
            "Folders of this machine are only for repositories that its operator named.", field="repository"
        )
    if not (folder / ".git").exists() and not (folder / "objects").is_dir():
        raise SourceRefused("There is no repository in this folder.", field="repository")
    return Address(str(folder), folder=folder)


def _words(said: str, repository: Repository) -> str:
    said = _PASSWORD.sub("://", said).strip()
    if repository.password:
        said = said.replace(repository.password, "…")
    if "Host key verification failed" in said:
        return "The repository's host shows another key than the one that was confirmed. Nothing was fetched from it."
    lines = [line for line in said.splitlines() if line.strip()]
    return f"The repository could not be fetched: {' '.join(lines)[-400:] or 'git did not say why'}"
