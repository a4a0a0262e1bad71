"""Everything, as docs/benchmarks.md shows it: the ledger, then the gateway with its peers and 200,000 requests."""

import runpy
import sys

if __name__ == "__main__":
    for name, arguments in (("ledger", []), ("gateway", ["--long"])):
        print(f"\n## {name}\n", flush=True)
        sys.argv = [name, *arguments]
        runpy.run_module(f"bench.{name}", run_name="__main__")
