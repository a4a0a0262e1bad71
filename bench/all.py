"""Everything in the table of docs/benchmarks.md, one after the other, each in a process of its own."""

import subprocess
import sys
from collections.abc import Sequence

BENCHES: tuple[tuple[str, Sequence[str]], ...] = (
    ("ledger", ()),
    ("gateway", ("--long",)),
    ("pages", ()),
    ("agents", ()),
    ("refresh", ()),
)


def main() -> None:
    """Run them all, whatever one of them ends with; exit 1 when one missed its goal or broke."""
    missed = []
    for name, arguments in BENCHES:
        print(f"\n## {name}\n", flush=True)
        command = [sys.executable, "-P", "-m", f"bench.{name}", *arguments]
        if subprocess.run(command, check=False).returncode:
            missed.append(name)
    if missed:
        raise SystemExit(f"These missed their goals or broke: {', '.join(missed)}.")


if __name__ == "__main__":
    main()
