"""`pouch catalog`: what a pouch.toml would change in the catalog, and changing it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pouch.catalog.plan import Plan

catalog = typer.Typer(help="Models, upstreams and prices.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A pouch.toml.")]


@catalog.command("plan")
def plan_command(file: File) -> None:
    """Say what applying FILE would change. Changes nothing.

    For example:

      pouch catalog plan pouch.toml
    """
    _say(asyncio.run(_plan(file)))


@catalog.command("apply")
def apply_command(
    file: File,
    *,
    confirm: Annotated[bool, typer.Option("--confirm", help="Take prices that are 100 times off too.")] = False,
) -> None:
    """Bring the catalog to what FILE says. Safe to repeat; a running Pouch follows within a second.

    Exits with 1 when a price still waits for --confirm. `up` and `migrate` apply the configured file by themselves.

    For example:

      pouch catalog apply pouch.toml
    """
    plan = asyncio.run(_apply(file, confirm=confirm))
    _say(plan)
    if plan.unconfirmed:
        raise typer.Exit(1)


def _say(plan: "Plan") -> None:
    for line in [*plan.changes, *plan.unconfirmed] or ["Nothing changes."]:
        typer.echo(line)


async def _plan(path: Path) -> "Plan":
    from pouch.catalog.plan import plan, wish_for_test_models
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.settings import read_file

    file = read_file(path)
    async with transaction(read_settings()) as db:
        return await plan(db, file, source=str(path), test_models=wish_for_test_models(file, is_up=False))


async def _apply(path: Path, *, confirm: bool) -> "Plan":
    from pouch.catalog.apply import apply
    from pouch.catalog.plan import wish_for_test_models
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.settings import read_file

    file = read_file(path)
    wish = wish_for_test_models(file, is_up=False)
    async with transaction(read_settings()) as db:
        return await apply(db, file, source=str(path), test_models=wish, confirm=confirm)
