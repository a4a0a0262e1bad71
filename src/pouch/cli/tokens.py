"""`pouch token`: static session tokens for Roo's clients, where nobody sits at a browser."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from pouch.base.errors import Conflict, NotFound

if TYPE_CHECKING:
    from pouch.base.database import Connection
    from pouch.identity.types import Organization, Person

token = typer.Typer(help="Static session tokens for Roo's clients.", no_args_is_help=True)
DAY_S = 24 * 3600


@token.callback()
def _group() -> None:
    """Keep `add` a command of its own, while it is the only one."""


@token.command("add")
def token_add(
    email: str,
    *,
    org: Annotated[
        str | None,
        typer.Option(
            metavar="ORG", help="The organization it acts for: its id (org_…) or name. Without: the person's own."
        ),
    ] = None,
    days: Annotated[int, typer.Option(metavar="N", min=1, max=3650, help="How long it lasts.")] = 365,
) -> None:
    """Make a static token for a person and print it, and nothing else. It is not shown again.

    The extension takes it from ROO_CODE_CLOUD_TOKEN. It is listed, and ended, under Settings of that person.

    For example:

      pouch token add alice@example.com --org Harbor --days 30
    """
    typer.echo(asyncio.run(_add(email, org, days)))


async def _add(email: str, org: str | None, days: int) -> str:
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.identity.devices import add_device
    from pouch.identity.people import find_person
    from pouch.identity.session_tokens import SessionTokens

    settings = read_settings()
    async with transaction(settings) as db:
        if (person := await find_person(db, email)) is None:
            raise NotFound(f"Nobody is registered as {email}.")
        shared = await _organization(db, org, person) if org is not None else None
        organization_id = shared.id if shared else person.organization_id
        device_id = await add_device(
            db, person.id, organization_id, kind="static", name=f"Static token, {days} days", days=days
        )
    return SessionTokens(settings.secret_keys).make(
        device_id, person.id, shared.id if shared else None, lifetime_s=days * DAY_S
    )


async def _organization(db: "Connection", text: str, person: "Person") -> "Organization":
    """A shared organization that the person belongs to."""
    from pouch.identity.organizations import find_organizations
    from pouch.identity.profiles import memberships_of

    belongs = {each.organization_id for each in await memberships_of(db, person.id) if not each.is_personal}
    match [each for each in await find_organizations(db, text) if each.id in belongs]:
        case [found]:
            return found
        case []:
            raise NotFound(f"{person.email} belongs to no organization {text}.")
        case _:
            raise Conflict(f"{person.email} belongs to several organizations {text}. Name the one by its id (org_…).")
