"""Start a server on the folder given, say how it runs, write a row, count the rows, stop."""

import asyncio
import sys
from pathlib import Path

import psycopg

from pouch.embedded.postgres.errors import PostgresUnavailable
from pouch.embedded.postgres.locks import prepare_folder
from pouch.embedded.postgres.running import owned_folder, started_postgres


async def main(data_dir: Path) -> None:
    prepare_folder(data_dir)
    async with owned_folder(data_dir), started_postgres(data_dir) as postgres:
        with psycopg.connect(postgres.url()) as db:
            db.execute("CREATE TABLE IF NOT EXISTS starts (at timestamptz DEFAULT now())")
            db.execute("INSERT INTO starts DEFAULT VALUES")
            row = db.execute("SELECT count(*) FROM starts").fetchone()
        sys.stdout.write(f"{postgres.story or 'Postgres runs as we do.'}\nstarts: {row[0] if row else None}\n")


try:
    asyncio.run(main(Path(sys.argv[1])))
except PostgresUnavailable as error:
    sys.stdout.write(f"{error}\n")
    sys.exit(1)
