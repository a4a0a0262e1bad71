"""What stands on a command line is read by everybody on a machine, so no secret stands there."""

import asyncio
from pathlib import Path

import pytest

from pouch.agents.sandboxes.types import Command, Phase
from support.sandboxes import box, needs_bubblewrap

pytestmark = [pytest.mark.anyio, needs_bubblewrap]

SECRETS: dict[Phase, str] = {"setup": "a-token-for-the-set-up", "agent": "a-licence-for-the-run"}


@pytest.mark.parametrize("phase", SECRETS)
async def test_a_secret_of_a_program_is_in_its_environment_and_on_no_command_line(root: Path, phase: Phase) -> None:
    secret = SECRETS[phase]
    async with box(root, setup_secrets={"S": SECRETS["setup"]}, run_secrets={"S": SECRETS["agent"]}) as sandbox:
        # It holds nothing open, either, in which the options could be read.
        line = "echo $S; for each in /proc/self/fd/*; do readlink $each; done; cat; true"
        process = await sandbox.sandbox.execute(Command(("/bin/bash", "-c", line), phase, 30))
        said = b""
        async with asyncio.timeout(20):
            async for piece in process.output():
                said += piece.data
                if secret.encode() in said:
                    break
        assert command_lines_with(secret) == []
        assert command_lines_with("bwrap") != []
        await process.end_input()
        async for piece in process.output():
            said += piece.data
        assert b"memfd" not in said


def command_lines_with(text: str) -> list[str]:
    """Of every process of this machine."""
    found: list[str] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found
