"""Push saved work to where it belongs, from a sandbox that reaches that host alone and holds nothing else."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from pouch.agents.sandboxes.cloning import Sources, authorization_of, check_address, check_ref
from pouch.agents.sandboxes.types import MIB, Command, Egress, Mount, Repository, Sandbox
from pouch.agents.sandboxes.visible import program

TIMEOUT_S = 300
ANSWER_BYTES_MAX = 64 * 1024

PushState = Literal["pushed", "there", "moved", "refused"]


@dataclass(frozen=True, slots=True)
class Work:
    """Commits that were saved: a bundle with `bundled_branch`, which grew from `base_sha` to `head_sha`."""

    bundle: Path
    bundled_branch: str
    base_sha: str
    head_sha: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of it. `why` says it when it is not there."""

    state: PushState
    why: str = ""

    @property
    def is_there(self) -> bool:
        """Whether the branch has the work now."""
        return self.state in {"pushed", "there"}


class PushFailed(Exception):
    """The host could not be reached, or did not answer as it should: try again later."""


async def push(  # noqa: PLR0913 -- what goes where
    sandbox: Sandbox, repository: Repository, sources: Sources, work: Work, branch: str, *, is_new: bool
) -> Pushed:
    """Push, never by force. `is_new`: the branch must not be there with other commits.

    Raises PushFailed, SourceRefused, SandboxFailed.
    """
    address = check_address(repository.address, sources)
    if not address.host:
        raise PushFailed("Only repositories on a host are pushed to.")
    asked = {
        "address": address.text,
        "branch": check_ref(branch),
        "bundled": f"refs/heads/{check_ref(work.bundled_branch)}",
        "base": work.base_sha,
        "head": work.head_sha,
        "is_new": str(is_new),
        "authorization": authorization_of(repository),
    }
    mounts, environment = [], {"GIT_HTTP_LOW_SPEED_LIMIT": "1000", "GIT_HTTP_LOW_SPEED_TIME": "60"}
    if sources.certificates is not None:
        mounts.append(Mount(sources.certificates, "/run/pouch/certificates.pem"))
        environment["GIT_SSL_CAINFO"] = "/run/pouch/certificates.pem"
    command = Command(
        argv=program("push"),
        phase="clone",
        timeout_s=TIMEOUT_S,
        environment=environment,
        egress=Egress((address.host,), (address.port,)),
        mounts=tuple(mounts),
        output_bytes_max=ANSWER_BYTES_MAX,
    )
    out = await _run(sandbox, command, orjson.dumps(asked) + b"\n", work.bundle)
    try:
        answer = orjson.loads(out)
        state, error = answer["state"], str(answer.get("error", ""))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise PushFailed("The work could not be pushed in time.") from None
    why = error.replace(repository.password, "…") if repository.password else error
    if state not in {"pushed", "there", "moved", "refused"}:
        raise PushFailed(why or "git did not say why.")
    return Pushed(state, why)


async def _run(sandbox: Sandbox, command: Command, asked: bytes, bundle: Path) -> bytes:
    process = await sandbox.execute(command)
    said = bytearray()

    async def listen() -> None:
        async for piece in process.output():
            if piece.stream == "out":
                said.extend(piece.data)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            await process.send(asked)
            with bundle.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, MIB):
                    await process.send(piece)
            await process.end_input()
        await process.wait()
    except BaseException:
        await process.kill()
        raise
    return bytes(said)
