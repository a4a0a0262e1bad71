"""Deploy keys: with which an environment's runs fetch over ssh, and which hosts they believe.

Rules. The private half leaves the database only for the program that clones. A host is believed once a person of the
organization has confirmed its key; until then nothing is fetched from it, and another key than the confirmed ones ends
the clone.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pouch.agents.environments import Environment
from pouch.agents.sandboxes.types import SshAccess
from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.languages import say
from pouch.base.sealing import Seal

HOSTS_MAX = 50
"""Keys of hosts that one environment may have seen; the oldest that nobody confirmed go."""
_HOST_KEY = re.compile(r"[a-z0-9@.-]{1,60} [A-Za-z0-9+/]{16,8000}={0,2}", re.ASCII)
_HOST = re.compile(r"[a-z0-9.-]{1,253}|\[[a-z0-9.-]{1,253}\]:[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeployKey:
    """The half of a key that may be seen."""

    public_key: str
    created_at: datetime

    @property
    def fingerprint(self) -> str:
        """As ssh shows it."""
        return fingerprint(self.public_key)


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A key that a host showed."""

    host: str
    key: str
    is_confirmed: bool

    @property
    def fingerprint(self) -> str:
        """As ssh shows it."""
        return fingerprint(self.key)


async def make_key(db: Connection, seal: Seal, environment: Environment) -> DeployKey:
    """Make a key, in place of the one before."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    await db.execute(
        """
        INSERT INTO agent_deploy_keys (environment_id, public_key, sealed_private) VALUES (%s, %s, %s)
        ON CONFLICT (environment_id) DO UPDATE
           SET public_key = excluded.public_key, sealed_private = excluded.sealed_private,
               created_at = clock_timestamp()
        """,
        (environment.id, f"{public} pouch", seal.seal(text, _place(environment.id))),
    )
    found = await find_key(db, environment.id)
    assert found is not None
    return found


async def remove_key(db: Connection, environment: Environment) -> None:
    """Forget the key."""
    await db.execute("DELETE FROM agent_deploy_keys WHERE environment_id = %s", (environment.id,))


async def find_key(db: Connection, environment_id: UUID) -> DeployKey | None:
    """What may be seen of an environment's key."""
    rows = await db.execute(
        "SELECT public_key, created_at FROM agent_deploy_keys WHERE environment_id = %s", (environment_id,)
    )
    row = await rows.fetchone()
    return DeployKey(*row) if row is not None else None


async def open_key(db: Connection, seal: Seal, environment_id: UUID) -> SshAccess | None:
    """The key for a clone, with the hosts that are believed. Raises CannotOpen."""
    rows = await db.execute("SELECT sealed_private FROM agent_deploy_keys WHERE environment_id = %s", (environment_id,))
    row = await rows.fetchone()
    if row is None:
        return None
    known = [each for each in await list_hosts(db, environment_id) if each.is_confirmed]
    lines = "".join(f"{each.host} {each.key}\n" for each in known)
    return SshAccess(seal.open(bytes(row[0]), _place(environment_id)), lines)


async def list_hosts(db: Connection, environment_id: UUID) -> list[KnownHost]:
    """The keys that hosts showed, confirmed or not."""
    rows = await db.execute(
        """
        SELECT host, key, confirmed_at IS NOT NULL FROM agent_known_hosts
         WHERE environment_id = %s ORDER BY host, confirmed_at, seen_at
        """,
        (environment_id,),
    )
    return [KnownHost(*row) for row in await rows.fetchall()]


async def note_hosts(db: Connection, environment_id: UUID, lines: Sequence[str]) -> None:
    """Write down what a host showed, for a person to confirm. What is no key of a host is left out."""
    for line in lines[:HOSTS_MAX]:
        host, _, key = line.strip().partition(" ")
        if _HOST.fullmatch(host) and _HOST_KEY.fullmatch(key):
            await db.execute(
                """
                INSERT INTO agent_known_hosts (environment_id, host, key) VALUES (%s, %s, %s)
                ON CONFLICT (environment_id, host, key) DO UPDATE SET seen_at = clock_timestamp()
                """,
                (environment_id, host, key),
            )
    await db.execute(
        """
        DELETE FROM agent_known_hosts WHERE environment_id = %(id)s AND confirmed_at IS NULL AND (host, key) NOT IN (
            SELECT host, key FROM agent_known_hosts WHERE environment_id = %(id)s AND confirmed_at IS NULL
             ORDER BY seen_at DESC LIMIT %(most)s)
        """,
        {"id": environment_id, "most": HOSTS_MAX},
    )


async def confirm_host(db: Connection, environment: Environment, shown: str) -> None:
    """Believe the host key with this fingerprint from now on. Raises NotFound."""
    for each in await list_hosts(db, environment.id):
        if each.fingerprint == shown:
            await db.execute(
                """
                UPDATE agent_known_hosts SET confirmed_at = coalesce(confirmed_at, clock_timestamp())
                 WHERE environment_id = %s AND host = %s AND key = %s
                """,
                (environment.id, each.host, each.key),
            )
            return
    raise NotFound(say("There is no such host key."))


async def forget_host(db: Connection, environment: Environment, shown: str) -> None:
    """Do not believe the host key with this fingerprint any more. Repeats safely."""
    for each in await list_hosts(db, environment.id):
        if each.fingerprint == shown:
            await db.execute(
                "DELETE FROM agent_known_hosts WHERE environment_id = %s AND host = %s AND key = %s",
                (environment.id, each.host, each.key),
            )


def fingerprint(line: str) -> str:
    """The fingerprint of a public key, as `ssh-keygen -l` shows it."""
    words = line.split(" ")
    try:
        raw = base64.b64decode(words[1], validate=True)
    except (IndexError, ValueError):
        return ""
    return f"SHA256:{base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip('=')}"


def _place(environment_id: UUID) -> str:
    return f"{environment_id}:deploy-key"
