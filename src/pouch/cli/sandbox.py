"""`pouch sandbox probe`: whether this machine can keep agents apart from itself."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pouch.agents.sandboxes.types import Probe

sandbox = typer.Typer(help="Where agents run.", no_args_is_help=True)


@sandbox.callback()
def _together() -> None:
    """Keep `probe` a command of its own, beside those to come."""


@sandbox.command("probe")
def probe(*, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Try what this machine can do. Exit code 1 when agents would not be kept apart.

    For example:

      pouch sandbox probe
    """
    found = asyncio.run(_probe())
    if as_json:
        typer.echo(json.dumps(_document(found), indent=2))
    else:
        for line in _lines(found):
            typer.echo(line)
    if not found.is_safe:
        raise typer.Exit(1)


async def _probe() -> "Probe":
    from pouch.agents.sandboxes.choosing import choose_backend
    from pouch.cli.reading import read_settings

    settings = read_settings()
    return await choose_backend(settings.file.agents, settings.data_dir).probe()


def _document(found: "Probe") -> dict[str, object]:
    return {
        "backend": found.backend,
        "is_safe": found.is_safe,
        "capabilities": [
            {
                "name": each.name,
                "is_there": each.is_there,
                "is_required": each.is_required,
                "detail": each.detail,
            }
            for each in found.capabilities
        ],
    }


def _lines(found: "Probe") -> list[str]:
    width = max(len(each.name) for each in found.capabilities)
    lines = [f"Sandboxes of {found.backend}:"]
    for each in found.capabilities:
        word = "yes" if each.is_there else ("NO" if each.is_required else "no")
        lines.append(f"  {each.name:<{width}}  {word:<3}  {each.detail}")
    lines.append(
        "Agents are kept apart from this machine."
        if found.is_safe
        else "Agents cannot be kept apart from this machine, so none will run here (docs/agents-sandboxes.md)."
    )
    return lines
