"""`pouch voucher`: codes that turn into credits."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pouch.base.errors import InvalidInput
from pouch.base.money import Money

if TYPE_CHECKING:
    from pouch.vouchers.types import Voucher, Wish

voucher = typer.Typer(help="Codes that turn into credits.", no_args_is_help=True)


def read_day(text: str) -> datetime:
    """Read "2026-12-31" as that day's first moment, UTC."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise typer.BadParameter("write the day as 2026-12-31.") from error


@voucher.command("make")
def make(  # noqa: PLR0913 -- what a voucher is, by name
    usd: Annotated[Money, typer.Argument(metavar="USD", parser=Money.parse, help="Up to nine decimals.")],
    *,
    note: Annotated[str, typer.Option(help="Shown to the customer in their history.")],
    uses: Annotated[int, typer.Option(help="How often it may be redeemed in all.")] = 1,
    per_person: Annotated[int, typer.Option(help="How often by one person.")] = 1,
    since: Annotated[
        datetime | None, typer.Option("--from", parser=read_day, metavar="DAY", help="Not before this day (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=read_day, metavar="DAY", help="Not from this day on (UTC).")
    ] = None,
    credits_days: Annotated[int | None, typer.Option(help="The credits expire so many days after redeeming.")] = None,
    code: Annotated[str | None, typer.Option(help="A code of your own instead of a random one.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Make so many, each with a code of its own.")] = 1,
) -> None:
    """Make vouchers and print their codes, one a line, and nothing else. They are not shown again.

    For example:

      pouch voucher make 10 --note "Workshop" --count 30 --until 2026-12-31

      pouch voucher make 5 --note "Spring" --code SPRING-2027 --uses 500 --credits-days 90
    """
    from pouch.vouchers.types import Wish

    if code is not None and count > 1:
        raise typer.BadParameter("one code is one voucher.", param_hint="--code")
    wish = Wish(usd, note, uses, per_person, since, until, credits_days)
    for made in asyncio.run(_make(wish, code, count)):
        typer.echo(made)


@voucher.command("list")
def list_() -> None:
    """List the newest 200 vouchers: id, end of the code, amount, uses, state, note.

    For example:

      pouch voucher list
    """
    now = datetime.now(UTC)
    for each in asyncio.run(_list()):
        uses = f"{each.used}/{each.uses_max}"
        typer.echo(f"{each.shown_id}  …{each.hint}  {each.amount}  {uses}  {each.state(now)}  {each.note}")


@voucher.command("void")
def void(voucher_id: Annotated[str, typer.Argument(metavar="ID", help="vou_…, as `list` shows it.")]) -> None:
    """Let nobody redeem a voucher any more. What was redeemed stays.

    For example:

      pouch voucher void vou_06h1ouq6ulpff71rk5a9m2i8uk
    """
    typer.echo("Voided." if asyncio.run(_void(voucher_id)) else "It was voided before.")


async def _make(wish: "Wish", code: str | None, count: int) -> list[str]:
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.vouchers.making import make as make_one

    async with transaction(read_settings()) as db:
        return [(await make_one(db, wish, made_by="command", own_code=code))[1] for _ in range(count)]


async def _list() -> "list[Voucher]":
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.vouchers.making import list_vouchers

    async with transaction(read_settings()) as db:
        return await list_vouchers(db)


async def _void(shown: str) -> bool:
    from pouch.base.ids import read_id
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.vouchers.making import void as void_one

    voucher_id = read_id("vou", shown)
    if voucher_id is None:
        raise InvalidInput("This is not the id of a voucher.")
    async with transaction(read_settings()) as db:
        return await void_one(db, voucher_id)
