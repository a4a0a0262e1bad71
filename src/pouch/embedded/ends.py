"""What `pouch up` tells its children about the embedded far ends: keys, ports and the database."""

import os
import secrets
import socket
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pouch.settings import Settings, SettingsError

FILE = "ends.json"


def free_port() -> int:
    """A loopback port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Ends(BaseModel):
    """Keys and addresses that only the processes of one data folder know, random for each folder.

    The keys never change, so what was signed or paid before a restart stays valid.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    stripe_secret_key: str = Field(default_factory=lambda: f"sk_test_{secrets.token_hex(24)}")
    stripe_webhook_secret: str = Field(default_factory=lambda: f"whsec_{secrets.token_hex(24)}")
    models_key: str = Field(default_factory=lambda: secrets.token_hex(24))
    smtp_port: int = Field(default_factory=free_port)
    """On 127.0.0.1. Kept from start to start, as long as nothing else takes it."""
    database_url: str
    """The embedded Postgres, or the operator's own. Its socket lies in a new folder after each start."""

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """What `up` wrote. Raises SettingsError when it cannot be read, as it is nothing that a person writes."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except (OSError, ValidationError) as error:
            raise SettingsError(f"{path} cannot be used. `pouch up` writes it: remove it and start again.") from error

    @classmethod
    def of(cls, settings: Settings) -> "Ends | None":
        """The far ends of this process, or None when it does not run under `pouch up`."""
        return cls.read(settings.under_up) if settings.under_up else None

    def write(self, path: Path) -> None:
        """Write for the owner's eyes only; a reader sees the old file or the new one, never half."""
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self.model_dump_json(indent=2) + "\n")
        draft.replace(path)


def prepare_ends(data_dir: Path, database_url: str) -> Path:
    """Write the far ends of a data folder, keeping every key it already has. Returns the file's path."""
    path = data_dir.absolute() / FILE
    if path.exists():
        ends = Ends.read(path).model_copy(update={"database_url": database_url})
        if not _is_free(ends.smtp_port):
            ends = ends.model_copy(update={"smtp_port": free_port()})
    else:
        ends = Ends(database_url=database_url)
    ends.write(path)
    return path


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As a server binds: ports of closed connections that the system still remembers count as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
