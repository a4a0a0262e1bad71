"""The command line of bubblewrap for one program: everything that it can see is named here."""

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pouch.agents.sandboxes.place import Place
from pouch.agents.sandboxes.types import MIB, Command, RunSpec
from pouch.agents.sandboxes.visible import UID, Sockets, environment, places, whole_argv

ETC = "etc"
"""In the place's folder: a few files for /etc."""
SMALL_TMPFS = 8 * MIB

_LINKED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC_OF_HOST = (
    "alternatives",
    "ca-certificates",
    "debian_version",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "pki",
    "protocols",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
)
_ETC_OF_OURS = ("passwd", "group", "hosts", "nsswitch.conf")


def bubblewrap_arguments(  # noqa: PLR0913 -- everything that decides what is seen
    spec: RunSpec,
    command: Command,
    place: Place,
    sockets: Sockets,
    *,
    info_fd: int,
    seccomp_fd: int | None,
    before: tuple[str, ...] = (),
) -> tuple[list[str], list[str]]:
    """Bubblewrap's options, and the program that it starts; `before` comes before that, inside.

    The options name the environment with its secrets, so they go over a file and never on the command line, which
    everybody on the machine can read.
    """
    has_egress = sockets.egress is not None
    words = [*_namespaces(), *_system(place.folder / ETC)]
    words += ["--size", str(spec.limits.tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108 -- the sandbox's own
    for mount in places(spec, command, place, sockets):
        words += ["--bind" if mount.is_writable else "--ro-bind", str(mount.source), mount.target]
    # Both are memory without a limit as long as they can be written.
    words += ["--remount-ro", "/", "--remount-ro", "/dev"]
    words += ["--chdir", "/" if command.phase == "clone" else "/work", "--clearenv"]
    for name, value in environment(spec, command, has_egress=has_egress).items():
        words += ["--setenv", name, f"{value}:/opt/python/bin" if name == "PATH" else value]
    words += ["--info-fd", str(info_fd)]
    if seccomp_fd is not None:
        words += ["--seccomp", str(seccomp_fd)]
    return words, [*before, *whole_argv(command, has_egress=has_egress)]


@cache
def can_forbid_namespaces() -> bool:
    """Whether bubblewrap can forbid further user namespaces; the filter of system calls does so too."""
    try:
        said = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return False
    return "--disable-userns" in said.stdout + said.stderr


def _namespaces() -> list[str]:
    return [
        "--unshare-user",
        *(["--disable-userns"] if can_forbid_namespaces() else []),
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--uid",
        str(UID),
        "--gid",
        str(UID),
        "--hostname",
        "pouch",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
    ]


def _system(etc: Path) -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in _LINKED:
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.exists():
            yield from ("--ro-bind", str(path), str(path))
    for name in _ETC_OF_HOST:
        if Path("/etc", name).exists():
            yield from ("--ro-bind", f"/etc/{name}", f"/etc/{name}")
    for name in _ETC_OF_OURS:
        yield from ("--ro-bind", str(etc / name), f"/etc/{name}")
    yield from ("--proc", "/proc", "--dev", "/dev", "--size", str(SMALL_TMPFS), "--tmpfs", "/dev/shm")  # noqa: S108
    if not Path("/usr/bin/python3").exists():
        yield from ("--ro-bind", sys.base_prefix, "/opt/python")
