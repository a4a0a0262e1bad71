"""Save the work of an attempt: git in a second sandbox makes a bundle, a patch and their figures.

What comes out is data of somebody we do not trust: three names are read from it, up to a size each, and nothing is run.
"""

import asyncio
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import orjson
from pydantic import BaseModel, Field, ValidationError

from pouch.agents.sandboxes.cloning import check_ref
from pouch.agents.sandboxes.errors import SandboxFailed, SaveFailed
from pouch.agents.sandboxes.types import MIB, Command, FileChange, Sandbox, Saved, SavedCommit
from pouch.agents.sandboxes.visible import program

TIMEOUT_S = 300
SIZES_MAX = {"run.bundle": 2048 * MIB, "run.patch": 512 * MIB, "session.json": 64 * MIB, "result.json": 16 * MIB}
UNFINISHED = "Work in progress"
SHA = r"^([0-9a-f]{40}|[0-9a-f]{64})$"


async def save(  # noqa: PLR0913 -- what is saved, and how
    sandbox: Sandbox,
    base_sha: str,
    branch: str,
    into: Path,
    *,
    message: str = UNFINISHED,
    secrets: Sequence[str] = (),
) -> Saved:
    """Write run.bundle, run.patch and session.json into a folder. Repeats safely. Raises SaveFailed.

    `message`: of the last commit, when there was work that the agent had not committed. `secrets`: values that must not
    be in bundle or patch.
    """
    check_ref(branch)
    command = Command(
        argv=program("save", base_sha, branch, message),
        phase="collect",
        timeout_s=TIMEOUT_S,
        output_bytes_max=sum(SIZES_MAX.values()),
    )
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    packed = into / "saving.tar"
    said = bytearray()
    try:
        process = await sandbox.execute(command)
        try:
            # Never as an argument: those stand in the host's list of processes.
            await process.send(orjson.dumps(list(secrets)) + b"\n")
            await process.end_input()
            with packed.open("wb") as file:
                async for piece in process.output():
                    if piece.stream == "out":
                        await asyncio.to_thread(file.write, piece.data)
                    else:
                        said += piece.data[: 4096 - len(said)]
            ending = await process.wait()
        except BaseException:
            await process.kill()
            raise
        if ending.code or ending.reason != "exited":
            raise SaveFailed(f"The work could not be saved: {said.decode(errors='replace').strip()[-400:]}")
        result = await asyncio.to_thread(_unpack, packed, into)
        return _read(result, branch, into)
    except (OSError, tarfile.TarError, SandboxFailed) as error:
        raise SaveFailed(f"The work could not be saved: {error}") from error
    finally:
        packed.unlink(missing_ok=True)


def _unpack(packed: Path, into: Path) -> bytes:
    """The files that we know, and the figures."""
    result = b""
    for name in SIZES_MAX:
        (into / name).unlink(missing_ok=True)
    with tarfile.open(packed, mode="r|") as tar:
        for entry in tar:
            if not entry.isfile() or entry.size > SIZES_MAX.get(entry.name, -1):
                continue
            opened = tar.extractfile(entry)
            assert opened is not None
            if entry.name == "result.json":
                result = opened.read()
            else:
                _copy(opened, into / entry.name)
    return result


def _copy(source: IO[bytes], target: Path) -> None:
    draft = target.with_name(f"{target.name}.new")
    with draft.open("wb") as file:
        draft.chmod(0o600)
        while piece := source.read(MIB):
            file.write(piece)
    draft.replace(target)


def _read(result: bytes, branch: str, into: Path) -> Saved:
    try:
        found = _Result.model_validate_json(result)
    except ValidationError as error:
        raise SaveFailed("The work could not be saved: its figures cannot be read.") from error
    return Saved(
        base_sha=found.base_sha,
        head_sha=found.head_sha,
        branch=branch,
        bundle=_there(into / "run.bundle"),
        patch=_there(into / "run.patch"),
        session=_there(into / "session.json"),
        files=tuple(FileChange(each.path, each.added, each.removed, each.is_binary) for each in found.files),
        commits=tuple(SavedCommit(each.sha, each.subject) for each in found.commits),
        was_unfinished=found.was_unfinished,
        withheld=tuple(found.withheld),
        branches=tuple(found.branches),
        nested=tuple(found.nested),
    )


class _File(BaseModel):
    path: str = Field(max_length=4096)
    added: int = Field(ge=0)
    removed: int = Field(ge=0)
    is_binary: bool


class _Commit(BaseModel):
    sha: str = Field(pattern=SHA)
    subject: str = Field(max_length=500)


class _Result(BaseModel):
    base_sha: str = Field(pattern=SHA)
    head_sha: str = Field(pattern=SHA)
    was_unfinished: bool
    files: list[_File]
    commits: list[_Commit]
    withheld: list[str] = Field(default_factory=list)
    branches: list[str] = Field(default_factory=list)
    nested: list[str] = Field(default_factory=list)


def _there(path: Path) -> Path | None:
    return path if path.exists() else None
