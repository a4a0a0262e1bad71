"""`pouch payments reconcile` as an operator runs it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from support.cards import SECRET_KEY, card_processor

pytestmark = pytest.mark.anyio


async def pouch(folder: Path, database_url: str, api_base: str, *words: str) -> tuple[int, str]:
    """Run the command against a processor that is Stripe as far as it knows."""
    config = folder / "pouch.toml"
    config.write_text(f'[payments]\nprocessor = "stripe"\nstripe_api_base = "{api_base}"\n')
    environment = os.environ | {
        "POUCH_CONFIG": str(config),
        "POUCH_DATA_DIR": str(folder),
        "POUCH_DATABASE_URL": database_url,
        "POUCH_STRIPE_SECRET_KEY": SECRET_KEY,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pouch.cli",
        "payments",
        *words,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_books_that_agree_end_with_a_count(database_url: str, tmp_path: Path) -> None:
    async with card_processor(database_url) as cards:
        code, said = await pouch(tmp_path, database_url, cards.api_base, "reconcile")
    assert "0 looked at, 0 repaired, 0 differences." in said
    assert code == 0


async def test_a_processor_that_does_not_answer_is_said_with_exit_code_1(database_url: str, tmp_path: Path) -> None:
    code, said = await pouch(tmp_path, database_url, "http://127.0.0.1:9", "reconcile")
    assert code == 1
    assert "Not finished" in said


async def test_a_purchase_without_a_warning_cannot_be_trusted(database_url: str, tmp_path: Path) -> None:
    code, said = await pouch(tmp_path, database_url, "http://127.0.0.1:9", "trust", "nonsense")
    assert code == 2
    assert "not the id of a purchase" in said


async def test_the_help_has_an_example(database_url: str, tmp_path: Path) -> None:
    code, said = await pouch(tmp_path, database_url, "http://127.0.0.1:9", "reconcile", "--help")
    assert code == 0
    assert "pouch payments reconcile" in said
