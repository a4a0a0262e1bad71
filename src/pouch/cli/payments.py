"""`pouch payments reconcile`: compare the books with the card processor's by hand."""

import asyncio
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pouch.payments.checks import Check, Difference

payments = typer.Typer(help="Payments, refunds and disputes.", no_args_is_help=True)


@payments.command("reconcile")
def reconcile() -> None:
    """Compare every payment, refund and dispute of the last four days with the books, and repair what is missing.

    The worker does the same each hour. Exit code 1 when something still differs, or the processor did not answer. With
    the embedded card processor it works only while `pouch up` runs.

    For example:

      pouch payments reconcile

      pouch payments reconcile || mail -s "The books differ" olga@example.com
    """
    check, differences = asyncio.run(_reconcile())
    for difference in differences:
        typer.echo(difference.what)
    if check.error:
        typer.echo(f"Not finished: {check.error}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{check.looked_at} looked at, {check.repaired} repaired, {check.differences} differences.")
    if check.differences:
        raise typer.Exit(1)


@payments.command("trust")
def trust(purchase: str) -> None:
    """Let saved cards be charged by themselves again, after a warning that this purchase may be fraud.

    A warning stops the auto top-up of its organization until its payment is refunded whole, the bank has decided a
    dispute about it, or you have looked into it and say this. A person switches it on again afterwards.

    For example:

      pouch payments trust pur_06h1rjsor5o650h2u7n89m3g4s
    """
    warnings = asyncio.run(_trust(purchase))
    if not warnings:
        typer.echo(f"There is no warning about {purchase}.", err=True)
        raise typer.Exit(1)
    typer.echo(f"{warnings} warning{'' if warnings == 1 else 's'} about {purchase} stop nothing any more.")


async def _trust(shown_id: str) -> int:
    from pouch.base.database import Database
    from pouch.base.ids import read_id
    from pouch.cli.reading import read_settings
    from pouch.embedded.postgres.running import running_postgres
    from pouch.payments import disputes, purchases

    purchase_id = read_id("pur", shown_id)
    if purchase_id is None:
        raise typer.BadParameter(f"{shown_id} is not the id of a purchase.")
    async with (
        running_postgres(read_settings()) as url,
        Database(url, name="pouch payments") as database,
        database.transaction() as db,
    ):
        return await disputes.trust(db, await purchases.lock_purchase(db, purchase_id))


async def _reconcile() -> "tuple[Check, list[Difference]]":
    from pouch.app.processors import make_processor
    from pouch.base.database import Database
    from pouch.base.errors import NotAllowed
    from pouch.cli.reading import read_settings
    from pouch.embedded.ends import FILE, Ends
    from pouch.embedded.postgres.running import running_postgres
    from pouch.payments import checks
    from pouch.payments.checkout import Checkout
    from pouch.payments.events import Inbox
    from pouch.payments.reconciling import Reconciling
    from pouch.topups.room import TopUps

    settings = read_settings()
    running = settings.data_dir / FILE
    ends = Ends.of(settings) or (Ends.read(running) if running.exists() else None)
    processor = make_processor(settings, ends)
    if processor is None:
        raise NotAllowed("There is no card processor here to compare with.")
    async with running_postgres(settings) as url, Database(url, name="pouch payments") as database:
        try:
            # With the room above, which has to hear of a top-up that was paid, and of what is disputed.
            sync = TopUps.of(database, processor, Checkout(database, processor, settings), settings).sync
            check = await Reconciling(database, processor, sync, Inbox(database, sync)).check("command")
            async with database.transaction() as db:
                found = await checks.list_differences(db)
        finally:
            await processor.close()
    return check, [each for each in found if each.repaired_at is None and each.gone_at is None]
