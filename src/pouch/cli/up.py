"""`pouch up`."""

import asyncio
import sys
from functools import partial


def up() -> None:
    """Run everything on this machine: database, pages and API, background work. Ctrl-C stops it.

    For example:

      pouch up

      POUCH_PORT=8090 POUCH_DATA_DIR=/srv/pouch pouch up

      POUCH_DATABASE_URL=postgresql://pouch@db.example/pouch pouch up
    """
    from pouch.cli.reading import read_settings
    from pouch.up import run

    asyncio.run(run.up(read_settings(), say=partial(print, file=sys.stdout, flush=True)))
