"""`pouch migrate`."""

import asyncio

import typer


def migrate() -> None:
    """Bring the database's tables to this version and its catalog to what pouch.toml says. Safe to repeat.

    `up` does the same at its start.

    For example:

      POUCH_DATABASE_URL=postgresql://pouch@db.example/pouch pouch migrate
    """
    for line in asyncio.run(_migrate()) or ["The database is up to date."]:
        typer.echo(line)


async def _migrate() -> list[str]:
    from pouch.cli.reading import read_settings
    from pouch.embedded.postgres.running import running_postgres
    from pouch.up.prepare import prepare

    settings = read_settings()
    async with running_postgres(settings) as url:
        return await prepare(settings, url)
