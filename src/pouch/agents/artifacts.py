"""What runs leave behind, kept in the database so that every process of every machine can show it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal
from uuid import UUID

from pouch.base.database import Connection, Database
from pouch.base.errors import NotFound
from pouch.base.ids import new_id, show_id
from pouch.base.languages import say

ArtifactKind = Literal["patch", "bundle", "transcript", "log", "file"]
PART_BYTES = 512 * 1024
ARTIFACT_BYTES_MAX = 64 * 1024 * 1024
"""More than this of one thing is not kept; the run says so."""


class TooLarge(Exception):
    """What is to be kept is larger than an artifact may be."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something that a run left."""

    id: UUID
    run_id: UUID
    kind: ArtifactKind
    name: str
    size: int
    sha256: bytes
    created_at: datetime

    @property
    def shown_id(self) -> str:
        """As it stands in addresses."""
        return show_id("art", self.id)


async def keep(  # noqa: PLR0913, PLR0917 -- a file and all that is said of it
    db: Connection, run_id: UUID, epoch: int, kind: ArtifactKind, name: str, content: Path | bytes
) -> None:
    """Keep a file. The same name of the same attempt again replaces it. Raises TooLarge."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if size > ARTIFACT_BYTES_MAX:
        raise TooLarge
    artifact_id, digest = new_id(), sha256()
    await db.execute(
        "DELETE FROM agent_artifacts WHERE run_id = %s AND epoch = %s AND name = %s", (run_id, epoch, name)
    )
    await db.execute(
        """
        INSERT INTO agent_artifacts (id, run_id, epoch, kind, name, size, sha256)
        VALUES (%s, %s, %s, %s, %s, %s, decode(repeat('00', 32), 'hex'))
        """,
        (artifact_id, run_id, epoch, kind, name, size),
    )
    for number, part in enumerate(_parts(content)):
        digest.update(part)
        await db.execute(
            "INSERT INTO agent_artifact_parts (artifact_id, number, body) VALUES (%s, %s, %s)",
            (artifact_id, number, part),
        )
    await db.execute("UPDATE agent_artifacts SET sha256 = %s WHERE id = %s", (digest.digest(), artifact_id))


async def list_artifacts(db: Connection, run_id: UUID) -> list[Artifact]:
    """What a run left, the newest first; of each name only the last attempt's."""
    rows = await db.execute(
        """
        SELECT DISTINCT ON (name) id, run_id, kind, name, size, sha256, created_at FROM agent_artifacts
         WHERE run_id = %s ORDER BY name, epoch DESC
        """,
        (run_id,),
    )
    return [Artifact(*row) for row in await rows.fetchall()]


async def find_artifact(db: Connection, run_id: UUID, artifact_id: UUID) -> Artifact:
    """One of a run's. Raises NotFound."""
    rows = await db.execute(
        "SELECT id, run_id, kind, name, size, sha256, created_at FROM agent_artifacts WHERE run_id = %s AND id = %s",
        (run_id, artifact_id),
    )
    row = await rows.fetchone()
    if row is None:
        raise NotFound(say("There is no such file."))
    return Artifact(*row)


async def newest(db: Connection, run_id: UUID, kind: ArtifactKind) -> Artifact | None:
    """The last one of a kind."""
    rows = await db.execute(
        """
        SELECT id, run_id, kind, name, size, sha256, created_at FROM agent_artifacts
         WHERE run_id = %s AND kind = %s ORDER BY epoch DESC, created_at DESC LIMIT 1
        """,
        (run_id, kind),
    )
    row = await rows.fetchone()
    return None if row is None else Artifact(*row)


async def content_of(database: Database, artifact: Artifact) -> AsyncIterator[bytes]:
    """The content, part by part; between two parts no connection is held."""
    number = 0
    while True:
        async with database.transaction() as db:
            rows = await db.execute(
                "SELECT body FROM agent_artifact_parts WHERE artifact_id = %s AND number = %s", (artifact.id, number)
            )
            row = await rows.fetchone()
        if row is None:
            return
        yield bytes(row[0])
        number += 1


async def read_whole(database: Database, artifact: Artifact, most: int) -> bytes:
    """The content up to so many bytes."""
    found = bytearray()
    async for part in content_of(database, artifact):
        found += part
        if len(found) >= most:
            break
    return bytes(found[:most])


def _parts(content: Path | bytes) -> list[bytes]:
    whole = content if isinstance(content, bytes) else content.read_bytes()
    return [whole[at : at + PART_BYTES] for at in range(0, len(whole), PART_BYTES)]
