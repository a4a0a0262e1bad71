"""The set-up of Roo Code and its command line, copied from /connect and run as it stands."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from html import unescape
from pathlib import Path

import httpx
import pytest

from roo.test_cli import ME
from routes.stage import Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]
TIMEOUT_S = 60
SNIPPET = re.compile(r'<code id="(roo-[\w-]+)">(.*?)</code>', re.DOTALL)
STAND_IN = '#!/bin/sh\necho "arguments=$*"\nenv\n'
"""Says what it was started with."""
EXTENSION = ("CLERK_BASE_URL", "ROO_CODE_API_URL", "ROO_CODE_PROVIDER_URL")
TERMINAL = (*EXTENSION, "ROO_AUTH_BASE_URL", "ROO_SDK_BASE_URL")
THEIRS = "POSTHOG_API_KEY=phc_1"
"""A released extension brings a .env with this."""
ANSWERED = {
    "CLERK_BASE_URL": ("/v1/me", 401),
    "ROO_CODE_API_URL": ("/api/extension/credit-balance", 401),
    "ROO_CODE_PROVIDER_URL": ("/v1/models", 200),
    "ROO_AUTH_BASE_URL": ("/cli/sign-in?success=true", 200),
    "ROO_SDK_BASE_URL": (ME, 401),
}
"""What each variable is for, asked as the client does: appended to its value."""


@pytest.fixture
async def snippets(http: httpx.AsyncClient) -> dict[str, str]:
    page = await http.get("/connect")
    return {name: unescape(text) for name, text in SNIPPET.findall(page.text)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of somebody with two versions of the extension and one without a .env, beside an extension of others."""
    for name, theirs in (
        ("rooveterinaryinc.roo-cline-3.52.1", THEIRS),
        ("rooveterinaryinc.roo-cline-3.51.0-linux-x64", f"{THEIRS}\n"),
        ("rooveterinaryinc.roo-cline-3.50.0", None),
        ("somebody.else-1.0.0", THEIRS),
    ):
        folder = tmp_path / ".vscode" / "extensions" / name
        folder.mkdir(parents=True)
        if theirs is not None:
            (folder / ".env").write_text(theirs)
    return tmp_path


def run(program: str, text: str, home: Path) -> dict[str, str]:
    """Run a snippet in this home, in front of stand-ins for the programs that it starts; what those were told."""
    for name in ("code", "roo"):
        stand_in = home / name
        stand_in.write_text(STAND_IN)
        stand_in.chmod(0o755)
    environment = {"PATH": f"{home}:{os.environ['PATH']}", "HOME": str(home)}
    done = subprocess.run(
        [program, "-c", text], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return read(done.stdout)


def read(text: str) -> dict[str, str]:
    """The lines NAME=VALUE of a .env or of what `env` prints."""
    lines = [line.partition("=") for line in text.splitlines() if line]
    assert all(equals for _, equals, _ in lines), text
    return {name: value for name, _, value in lines}


async def leads_here(stage: Stage, http: httpx.AsyncClient, told: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Each address, as the client uses it, is answered by this Pouch."""
    for name in names:
        assert told[name].startswith(stage.settings.url)
        path, status = ANSWERED[name]
        assert (await http.get(f"{told[name]}{path}")).status_code == status, name


def told_by_files(home: Path) -> dict[str, str]:
    """What every folder of the extension says now; nothing of what was there is lost, and others' are left alone."""
    folders = home / ".vscode" / "extensions"
    assert (folders / "somebody.else-1.0.0" / ".env").read_text() == THEIRS
    found = {folder.name: read((folder / ".env").read_text()) for folder in folders.glob("rooveterinaryinc.*")}
    theirs = dict([THEIRS.split("=")])
    ours = found["rooveterinaryinc.roo-cline-3.50.0"]
    assert all(each == theirs | ours for name, each in found.items() if not name.endswith("3.50.0"))
    assert ours.keys() == {*EXTENSION}
    return ours


async def test_the_page_offers_these(snippets: dict[str, str]) -> None:
    assert snippets.keys() == {"roo-sh", "roo-ps", "roo-env", "roo-start", "roo-cli"}


async def test_the_commands_write_the_addresses_into_every_installed_extension(
    stage: Stage, http: httpx.AsyncClient, snippets: dict[str, str], home: Path
) -> None:
    """Also where a .env ends without a line end, and done twice."""
    for _ in range(2):
        run("sh", snippets["roo-sh"], home)
        await leads_here(stage, http, told_by_files(home), EXTENSION)


async def test_so_do_those_for_windows(
    stage: Stage, http: httpx.AsyncClient, snippets: dict[str, str], home: Path
) -> None:
    if shutil.which("pwsh") is None:
        pytest.skip("only where PowerShell is")
    # Windows separates folders as this snippet does; PowerShell elsewhere understands both.
    for _ in range(2):
        run("pwsh", snippets["roo-ps"], home)
        await leads_here(stage, http, told_by_files(home), EXTENSION)


async def test_the_three_lines_are_a_file_that_leads_here(
    stage: Stage, http: httpx.AsyncClient, snippets: dict[str, str]
) -> None:
    told = read(snippets["roo-env"])
    assert told.keys() == {*EXTENSION}
    await leads_here(stage, http, told, EXTENSION)


async def test_an_editor_that_is_started_like_this_knows_where_to_go(
    stage: Stage, http: httpx.AsyncClient, snippets: dict[str, str], home: Path
) -> None:
    await leads_here(stage, http, run("sh", snippets["roo-start"], home), EXTENSION)


async def test_the_command_line_signs_in_with_all_addresses(
    stage: Stage, http: httpx.AsyncClient, snippets: dict[str, str], home: Path
) -> None:
    """Also those that only the extension within it reads: else a static token would be sent elsewhere."""
    told = run("sh", snippets["roo-cli"], home)
    assert told["arguments"] == "auth login"
    await leads_here(stage, http, told, TERMINAL)
