"""`pouch work`."""

from typing import Annotated

import typer


def work(
    *,
    lane: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LANE",
            help="Serve this lane alone: short, mail, agents (with publishing) or publishing. May be repeated.",
        ),
    ] = None,
) -> None:
    """Do the background work, and nothing else: mail, settlements, sweeps, agents. Any number of such processes.

    On SIGTERM it takes nothing new; agents under way save their work and go back into the queue.

    For example:

      POUCH_DATABASE_URL=postgresql://pouch@db.example/pouch pouch work

      POUCH_GATEWAY_URL=https://pouch.example.com pouch work --lane agents
    """
    from pouch.app import work as run
    from pouch.cli.reading import read_settings
    from pouch.jobs.doorbell import LANES
    from pouch.up.leash import end_with_up

    # What agents made is brought away by those who can make sandboxes, without being asked for.
    asked = {*(lane or LANES), *(["publishing"] if "agents" in (lane or ()) else [])}
    lanes = [known for known in LANES if known in asked]
    if unknown := set(lane or ()) - set(LANES):
        raise typer.BadParameter(f"{min(unknown)} is none of {', '.join(LANES)}.", param_hint="--lane")
    settings = read_settings()
    if settings.under_up:
        end_with_up()
    run(settings, lanes if lane else None)
