"""`pouch grant`, `pouch balance` and `pouch ledger check`: credits without a browser."""

import asyncio
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pouch.base.errors import NotFound
from pouch.base.money import Money
from pouch.cli.voucher import read_day

if TYPE_CHECKING:
    from pouch.ledger.accounts import Balance
    from pouch.ledger.journal import Format
    from pouch.ledger.lots import GrantKind

ledger = typer.Typer(help="The books.", no_args_is_help=True)


def grant(  # noqa: PLR0913 -- what a grant is, by name
    email: str,
    usd: Annotated[Money, typer.Argument(metavar="USD", parser=Money.parse, help="Up to nine decimals.")],
    *,
    key: Annotated[str, typer.Option(help="Repeat it to be sure: one key grants once.")],
    note: Annotated[str, typer.Option(help="Shown to the customer in their history.")],
    expires: Annotated[
        datetime | None,
        typer.Option(parser=read_day, metavar="DAY", help="What is left of it goes on this day (UTC)."),
    ] = None,
    compensation: Annotated[
        bool, typer.Option("--compensation", help="It makes good for something: spent like paid credits, not first.")
    ] = False,
) -> None:
    """Give a person's organization credits that nobody paid for.

    For example:

      pouch grant alice@example.com 25 --key course-2026-alice --note "Course credits" --expires 2027-01-31
    """
    if asyncio.run(_grant(email, usd, key, note, expires, compensation=compensation)):
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


@ledger.command("export")
def ledger_export(
    *,
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv, json or hledger.")] = "csv",
    since: Annotated[
        datetime | None, typer.Option("--from", parser=read_day, metavar="DAY", help="From this day on (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", parser=read_day, metavar="DAY", help="Up to and with this day (UTC).")
    ] = None,
) -> None:
    """Print the double-entry journal: every transfer as two postings that come to zero.

    For example:

      pouch ledger export --format hledger --from 2026-11-01 --to 2026-11-30 > november.journal
    """
    from pouch.ledger.journal import FORMATS

    known = next((each for each in FORMATS if each == format_), None)
    if known is None:
        raise typer.BadParameter(f"a format is one of {', '.join(FORMATS)}.", param_hint="--format")
    asyncio.run(_export(known, since, until))


async def _export(format_: "Format", since: datetime | None, until: datetime | None) -> None:
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.ledger.journal import entries, journal

    async with transaction(read_settings()) as db:
        chunks = entries(db, first_day=since.date() if since else None, last_day=until.date() if until else None)
        async for text in journal(chunks, format_):
            sys.stdout.write(text)


async def _grant(  # noqa: PLR0913 -- the command's own arguments
    email: str, usd: Money, key: str, note: str, expires: datetime | None, *, compensation: bool
) -> bool:
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
        kind: GrantKind = "compensation" if compensation else "promotional"
        return await give(db, person.organization_id, usd, key=key, note=note, kind=kind, expires_at=expires)


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
