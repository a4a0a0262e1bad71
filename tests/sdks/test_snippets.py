"""The set-up that “Connect your editor” prints, run as it stands: copied from the page, with the key in $POUCH_KEY."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from html import unescape
from pathlib import Path

import httpx
import pytest

from sdks.accounts import add_customer
from sdks.node_sdk import NodeSdk
from support.node import NODE, NPM
from support.pouch import RunningPouch

TIMEOUT_S = 120
INSTALL_TIMEOUT_S = 540
PYTHON_PACKAGES = {"langchain": "langchain-openai==1.7.4", "litellm": "litellm==1.106.2"}
NODE_PACKAGES = ("ai@7.0.173", "@ai-sdk/openai-compatible@3.0.92")
"""Installed for the length of a test; none of them is a dependency of Pouch."""


@pytest.fixture(scope="module")
def snippets(pouch: RunningPouch) -> dict[str, str]:
    """What the page offers to copy, by id."""
    page = httpx.get(f"{pouch.url}/connect", trust_env=False).text
    return {
        name: unescape(text) for name, text in re.findall(r'<code id="client-([\w-]+)">(.*?)</code>', page, re.DOTALL)
    }


@pytest.fixture(scope="module")
def environment(pouch: RunningPouch) -> dict[str, str]:
    """That of a person who has a key. Nothing else of ours is in it."""
    key = add_customer(pouch, "snippets@example.com").secret
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return kept | {"POUCH_KEY": key, "NO_PROXY": "127.0.0.1,localhost"}


def run(
    command: Sequence[str | Path],
    environment: dict[str, str],
    *,
    folder: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """What it prints."""
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def says_hello(url: str, key: str, model: str) -> bool:
    """Whether a program with this address, key and model is answered."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx.post(f"{url}/chat/completions", json=body, headers=headers, trust_env=False)
    return bool(answer.json()["choices"][0]["message"]["content"] == "Hello")


def test_the_page_offers_every_program(snippets: dict[str, str]) -> None:
    offered = {
        "curl",
        "openai-python",
        "openai-node",
        "aider",
        "continue",
        "opencode",
        "langchain",
        "litellm",
        "vercel",
    }
    assert snippets.keys() == offered


def test_editors_with_settings_are_told_what_to_type(pouch: RunningPouch) -> None:
    page = httpx.get(f"{pouch.url}/connect", trust_env=False).text
    for name in ("Cline", "Kilo Code"):
        _, _, form = page.partition(f"<summary>{name}")
        form = form.partition("</details>")[0]
        assert "OpenAI Compatible" in form
        assert f"<code>{pouch.url}/v1</code>" in form
        assert "<code>pouch/free</code>" in form


def test_continue_is_told_where_it_reads_the_key(pouch: RunningPouch) -> None:
    page = httpx.get(f"{pouch.url}/connect", trust_env=False).text
    form = page.partition("<summary>Continue")[2].partition("</details>")[0]
    assert "<code>POUCH_KEY=…</code> into <code>~/.continue/.env</code>" in form


def test_curl(snippets: dict[str, str], environment: dict[str, str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("only where curl is")
    answer = json.loads(run(["sh", "-c", snippets["curl"]], environment))
    assert answer["choices"][0]["message"]["content"] == "Hello"


def test_openai_in_python(snippets: dict[str, str], environment: dict[str, str]) -> None:
    assert run([sys.executable, "-I", "-c", snippets["openai-python"]], environment).strip() == "Hello"


def test_openai_in_node(
    snippets: dict[str, str], environment: dict[str, str], node_sdk: NodeSdk, tmp_path: Path
) -> None:
    del node_sdk  # it is installed
    (tmp_path / "node_modules").symlink_to(Path(__file__).parent / "node" / "node_modules")
    assert in_node(snippets["openai-node"], environment, tmp_path) == "Hello"


def test_aider_finds_its_address_and_key(snippets: dict[str, str], environment: dict[str, str], tmp_path: Path) -> None:
    """A program of aider's name says what it was started with; with just that a call is answered."""
    stand_in = tmp_path / "aider"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$OPENAI_API_BASE" "$OPENAI_API_KEY" "$@"\n')
    stand_in.chmod(0o755)
    told = run(["sh", "-c", snippets["aider"]], environment | {"PATH": f"{tmp_path}:{environment['PATH']}"}).split("\n")
    url, key, option, model = told[:4]
    assert option == "--model"
    assert says_hello(url, key, model.removeprefix("openai/"))


def test_the_configuration_for_continue_works(snippets: dict[str, str], environment: dict[str, str]) -> None:
    """Read as it does: a value `${{ secrets.NAME }}` is the line NAME=… of its .env, any other is the key."""
    fields = dict(re.findall(r"^\s*-?\s*(\w+): (\S.*)$", snippets["continue"], re.MULTILINE))
    secret = re.fullmatch(r"\$\{\{ secrets\.(\w+) \}\}", fields["apiKey"])
    key = environment[secret[1]] if secret else fields["apiKey"]
    assert (fields["provider"], fields["schema"]) == ("openai", "v1")
    assert says_hello(fields["apiBase"], key, fields["model"])


def test_the_configuration_for_opencode_works(snippets: dict[str, str], environment: dict[str, str]) -> None:
    config = json.loads(snippets["opencode"])
    provider, _, model = config["model"].partition("/")
    known = config["provider"][provider]
    assert model in known["models"]
    assert known["options"]["apiKey"] == "{env:POUCH_KEY}"
    assert says_hello(known["options"]["baseURL"], environment["POUCH_KEY"], model)


@pytest.mark.long
@pytest.mark.timeout(INSTALL_TIMEOUT_S + TIMEOUT_S)
@pytest.mark.parametrize("name", sorted(PYTHON_PACKAGES))
def test_other_python_clients(name: str, snippets: dict[str, str], environment: dict[str, str], tmp_path: Path) -> None:
    """Each in an environment of its own, made for this test."""
    folder = tmp_path / "venv"
    run([sys.executable, "-m", "venv", folder], environment)
    python = folder / "bin" / "python"
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", PYTHON_PACKAGES[name]]
    run(install, dict(os.environ), timeout_s=INSTALL_TIMEOUT_S)
    # LiteLLM fetches its price list from the net unless it is told not to.
    offline = environment | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    assert run([python, "-c", snippets[name]], offline).strip().splitlines()[-1] == "Hello"


@pytest.mark.long
@pytest.mark.timeout(INSTALL_TIMEOUT_S + TIMEOUT_S)
def test_the_vercel_ai_sdk(snippets: dict[str, str], environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    install: list[str | Path] = [
        NODE,
        NPM,
        "install",
        "--no-save",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        *NODE_PACKAGES,
    ]
    run(install, dict(os.environ), folder=tmp_path, timeout_s=INSTALL_TIMEOUT_S)
    assert in_node(snippets["vercel"], environment, tmp_path) == "Hello"


def in_node(text: str, environment: dict[str, str], folder: Path) -> str:
    program = folder / "snippet.mjs"
    program.write_text(text)
    return run([NODE, program], environment, folder=folder).strip()
