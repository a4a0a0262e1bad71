"""Small things that every client of the provider needs here."""

import re
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path

from openai.types.completion_usage import CompletionUsage

README = Path(__file__).parents[2] / "README.md"
INPUT_USD, OUTPUT_USD = Decimal("0.000001"), Decimal("0.000002")
"""Prices of pouch/paid, for each word."""


def cost_of(usage: CompletionUsage | None) -> Decimal:
    """The field that Pouch adds. The SDK reads it as a float, whose shortest decimal is what was sent."""
    assert usage is not None
    assert usage.model_extra is not None
    return Decimal(str(usage.model_extra["cost"]))


def run_readme(url: str, key: str) -> list[str]:
    """What the README's program prints, with the address and the key filled in.

    It runs with `-I`, so that nothing of the repository is in its way.
    """
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    filled = textwrap.dedent(program).replace("http://127.0.0.1:8080", url).replace("sk-pouch-…", key)
    assert filled.count(url) == filled.count(key) == 1
    command = [sys.executable, "-I", "-c", filled]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
