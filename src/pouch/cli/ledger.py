"""`pouch grant`, `pouch balance` and `pouch ledger check`: credits without a browser."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from pouch.base.errors import NotFound
from pouch.base.money import Money

if TYPE_CHECKING:
    from pouch.ledger.accounts import Balance

ledger = typer.Typer(help="The books.", no_args_is_help=True)


def grant(
    email: str,
    usd: Annotated[Money, typer.Argument(metavar="USD", parser=Money.parse, help="Up to nine decimals.")],
    *,
    key: Annotated[str, typer.Option(help="Repeat it to be sure: one key grants once.")],
    note: Annotated[str, typer.Option(help="Shown to the customer in their history.")],
) -> None:
    """Give a person's organization credits that nobody paid for.

    For example:

      pouch grant alice@example.com 25 --key course-2026-alice --note "Course credits"
    """
    if asyncio.run(_grant(email, usd, key, note)):
        typer.echo(f"Granted {usd} to {email}.")
    else:
        typer.echo(f"{key} was granted before; nothing was given again.")


def balance(email: str) -> None:
    """Print what a person's organization has: two lines, `available` and `held`, in US dollars with nine decimals.

    For example:

      pouch balance alice@example.com
    """
    has = asyncio.run(_balance(email))
    typer.echo(f"available {has.available.decimal()}")
    typer.echo(f"held {has.held.decimal()}")


@ledger.command("check")
def ledger_check() -> None:
    """Add everything up again and say every difference. Exit code 1 when there is one.

    For example:

      pouch ledger check
    """
    found, accounts, transfers = asyncio.run(_check())
    for sentence in found:
        typer.echo(sentence)
    if found:
        raise typer.Exit(1)
    typer.echo(f"All is well: {accounts:,} accounts, {transfers:,} transfers, 0 differences.")


async def _grant(email: str, usd: Money, key: str, note: str) -> bool:
    from pouch.base.errors import InvalidInput
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.identity.people import find_person
    from pouch.ledger.grants import grant as give

    if not usd:
        raise InvalidInput("A grant is more than nothing.")
    async with transaction(read_settings()) as db:
        person = await find_person(db, email)
        if person is None:
            raise NotFound(f"Nobody is registered as {email}.")
        return await give(db, person.organization_id, usd, key=key, note=note)


async def _balance(email: str) -> "Balance":
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.identity.people import find_person
    from pouch.ledger.accounts import balance as read_balance

    async with transaction(read_settings()) as db:
        person = await find_person(db, email)
        if person is None:
            raise NotFound(f"Nobody is registered as {email}.")
        return await read_balance(db, person.organization_id)


async def _check() -> tuple[list[str], int, int]:
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.ledger.check import check_now, size

    async with transaction(read_settings()) as db:
        found = await check_now(db)
        return found, *await size(db)
