"""Addresses of repositories that are fetched over ssh: ssh://git@host/path, or git@host:path."""

import re
from dataclasses import dataclass

_LONG = re.compile(
    r"ssh://(?:(?P<user>[a-z_][a-z0-9._-]{0,31})@)?(?P<host>[A-Za-z0-9.-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
    r"/(?P<path>[A-Za-z0-9._~+@-][A-Za-z0-9._~/+@-]*)",
    re.ASCII,
)
_SHORT = re.compile(
    r"(?P<user>[a-z_][a-z0-9._-]{0,31})@(?P<host>[A-Za-z0-9.-]{1,253}):(?P<path>[A-Za-z0-9._~+@-][A-Za-z0-9._~/+@-]*)",
    re.ASCII,
)
PORT = 22


@dataclass(frozen=True, slots=True)
class SshAddress:
    """Such an address, read."""

    user: str
    host: str
    port: int
    path: str

    @property
    def text(self) -> str:
        """As git takes it."""
        return f"ssh://{self.user}@{self.host}:{self.port}/{self.path}"

    @property
    def known_as(self) -> str:
        """The host's name as a file of known hosts has it."""
        return self.host if self.port == PORT else f"[{self.host}]:{self.port}"


def read_ssh(address: str) -> SshAddress | None:
    """The address, when it is one of ssh; nothing of it can be an option of a command line."""
    found = _LONG.fullmatch(address) or _SHORT.fullmatch(address)
    if found is None:
        return None
    parts = found.groupdict()
    port = int(parts.get("port") or PORT)
    host = parts["host"].lower().rstrip(".")
    if not 0 < port < 65536 or host.startswith("-") or "/../" in f"/{parts['path']}/":
        return None
    return SshAddress(parts["user"] or "git", host, port, parts["path"])
