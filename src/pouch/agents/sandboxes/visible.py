"""What a program in a sandbox finds there, the same for every backend: its environment, its places, its sockets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pouch.agents import inside
from pouch.agents.sandboxes.place import PROGRAMS, Place
from pouch.agents.sandboxes.types import Command, Mount, RunSpec

USER, UID, HOME = "agent", 1000, "/home/agent"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
GATEWAY_SOCKET, EGRESS_SOCKET = "/run/pouch/gateway.sock", "/run/pouch/egress.sock"
GATEWAY_PORT, EGRESS_PORT = 8080, 3128
PLACEHOLDER = "run-key-is-added-outside"


@dataclass(frozen=True, slots=True)
class Sockets:
    """Which sockets of the host a program may open."""

    gateway: Path | None = None
    egress: Path | None = None


def environment(spec: RunSpec, command: Command, *, has_egress: bool) -> Mapping[str, str]:
    """What a program finds in its environment: no more than this."""
    named: dict[str, str] = {
        "PATH": ":".join([*spec.paths, PATH]),
        "HOME": HOME,
        "USER": USER,
        "LOGNAME": USER,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "https:file" if command.phase == "clone" else "file",
        "GIT_AUTHOR_NAME": "Pouch agent",
        "GIT_AUTHOR_EMAIL": "agent@pouch.invalid",
        "GIT_COMMITTER_NAME": "Pouch agent",
        "GIT_COMMITTER_EMAIL": "agent@pouch.invalid",
    }
    if command.phase in {"setup", "agent"}:
        named.update(spec.environment)
    if command.phase == "setup":
        named.update(spec.setup_secrets)
    if command.phase == "agent":
        named.update(spec.run_secrets)
        named |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{GATEWAY_PORT}/v1", "OPENAI_API_KEY": PLACEHOLDER}
    if has_egress:
        proxy = f"http://127.0.0.1:{EGRESS_PORT}"
        named |= {"https_proxy": proxy, "HTTPS_PROXY": proxy}
    return {**named, **command.environment}


def places(spec: RunSpec, command: Command, place: Place, sockets: Sockets) -> list[Mount]:
    """What of the host is seen, and what of it may be written."""
    is_collect = command.phase == "collect"
    may_write = not is_collect and (spec.may_write or command.phase != "agent")
    seen = [
        Mount(place.folder / PROGRAMS, inside.TARGET),
        Mount(place.part("work"), "/work", may_write),
        Mount(place.part("home"), HOME, not is_collect),
        Mount(place.part("base.git"), "/base.git", command.phase == "clone"),
    ]
    if is_collect:
        seen.append(Mount(place.out, "/out", is_writable=True))
    if sockets.gateway is not None:
        seen.append(Mount(sockets.gateway, GATEWAY_SOCKET))
    if sockets.egress is not None:
        seen.append(Mount(sockets.egress, EGRESS_SOCKET))
    return [*seen, *spec.mounts, *command.mounts]


def program(name: str, *arguments: str) -> tuple[str, ...]:
    """One of our own programs inside: plain Python, without site packages, so it is there at once and stays small."""
    return ("python3", "-I", "-S", "-B", f"{inside.TARGET}/{name}.py", *arguments)


def whole_argv(command: Command, *, has_egress: bool) -> tuple[str, ...]:
    """The program, behind the port that leads to its proxy where it has one."""
    if not has_egress:
        return command.argv
    return program("forward", "--listen", str(EGRESS_PORT), EGRESS_SOCKET, "--", *command.argv)
