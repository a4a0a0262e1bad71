"""`pouch user`, `pouch invite`, `pouch org` and `pouch key`: people, organizations and keys without a browser."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pouch.base.errors import Conflict, NotFound
from pouch.base.money import Money

if TYPE_CHECKING:
    from pouch.base.database import Connection
    from pouch.identity.types import Organization, Person

user = typer.Typer(help="People.", no_args_is_help=True)
org = typer.Typer(help="Organizations that people share.", no_args_is_help=True)
member = typer.Typer(help="Who belongs to an organization.", no_args_is_help=True)
key = typer.Typer(help="API keys.", no_args_is_help=True)
org.add_typer(member, name="member")


@user.command("add")
def user_add(
    email: str,
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of the input.")
    ] = False,
    admin: Annotated[bool, typer.Option("--admin", help="Make this person an operator.")] = False,
) -> None:
    """Register a person, verified, with a personal organization. Asks for a password on the terminal.

    For example:

      pouch user add alice@example.com --admin

      printf '%s' "$PASSWORD" | pouch user add bob@example.com --password-stdin
    """
    person = asyncio.run(_add_user(email, _password(from_input=password_stdin), operator=admin))
    typer.echo(f"Added {person.email}{', operator' if admin else ''}.")


def invite(email: str) -> None:
    """Invite somebody by mail and print the link, which works once within seven days. An earlier one ends.

    For example:

      pouch invite alice@example.com
    """
    typer.echo(asyncio.run(_invite(email)))


@org.command("add")
def org_add(
    name: str, *, owner: Annotated[str, typer.Option(metavar="EMAIL", help="Who owns it; registered before.")]
) -> None:
    """Found an organization and print its id.

    For example:

      pouch org add "Harbor" --owner alice@example.com
    """
    from pouch.base.ids import show_id

    typer.echo(show_id("org", asyncio.run(_add_organization(name, owner)).id))


@member.command("add")
def member_add(
    organization: Annotated[str, typer.Argument(metavar="ORG", help="Its id (org_…), or its name if only one has it.")],
    email: str,
    *,
    role: Annotated[str, typer.Option(metavar="ROLE", help="owner, admin, billing or member.")],
) -> None:
    """Let a registered person belong to an organization.

    For example:

      pouch org member add Harbor bob@example.com --role member
    """
    found, person = asyncio.run(_add_member(organization, email, role))
    typer.echo(f"{person.email} belongs to {found.name} as {role}.")


@key.command("add")
def key_add(
    email: str,
    name: str,
    *,
    limit: Annotated[
        Money | None,
        typer.Option(parser=Money.parse, metavar="USD", help="The most it may ever spend; up to nine decimals."),
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(metavar="S", help="What it may do; may be repeated. Without it: inference.")
    ] = None,
) -> None:
    """Make a key for a person's own organization and print it, and nothing else. It is not shown again.

    For example:

      pouch key add alice@example.com "Build server" --limit 20 --scope inference --scope billing:read
    """
    typer.echo(asyncio.run(_add_key(email, name, limit, scope or ["inference"])))


def _password(*, from_input: bool) -> str:
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on; pass the password with --password-stdin.")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


async def _add_user(email: str, password: str, *, operator: bool) -> "Person":
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.identity.addresses import read_address
    from pouch.identity.errors import AddressTaken
    from pouch.identity.passwords import Passwords, read_password
    from pouch.identity.people import add_person

    settings = read_settings()
    read_address(email)
    hashed = await Passwords().hash(read_password(password, email=email))
    welcome = settings.file.credits.welcome_grant_usd
    async with transaction(settings) as db:
        try:
            return await add_person(db, email, hashed, verified=True, operator=operator, welcome=welcome)
        except AddressTaken:
            raise Conflict(f"Somebody is registered as {email} already.") from None


async def _invite(email: str) -> str:
    from pouch.base.errors import NotAllowed
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.identity import registration
    from pouch.identity.addresses import read_address
    from pouch.identity.links import Tokens

    settings = read_settings()
    if settings.file.accounts.sign_up == "closed":
        raise NotAllowed('New accounts are closed: set [accounts] sign_up = "invite", or use `pouch user add`.')
    address, tokens = read_address(email), Tokens(settings.secret_keys, settings.url)
    async with transaction(settings) as db:
        link = await registration.invite(db, address)
    return tokens.url("invite", link.id)


async def _add_organization(name: str, owner: str) -> "Organization":
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.identity.organizations import add_organization

    async with transaction(read_settings()) as db:
        return await add_organization(db, name, await _person(db, owner))


async def _add_member(organization: str, email: str, role: str) -> "tuple[Organization, Person]":
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.identity.organizations import add_member, find_organizations
    from pouch.identity.types import ROLES

    known = next((each for each in ROLES if each == role), None)
    if known is None:
        raise typer.BadParameter(f"a role is one of {', '.join(ROLES)}.", param_hint="--role")
    async with transaction(read_settings()) as db:
        match await find_organizations(db, organization):
            case [found]:
                person = await _person(db, email)
                await add_member(db, found, person, known)
                return found, person
            case []:
                raise NotFound(f"There is no organization {organization}.")
            case _:
                raise Conflict(f"Several organizations are called {organization}. Name the one by its id (org_…).")


async def _add_key(email: str, name: str, limit: Money | None, scopes: list[str]) -> str:
    from pouch.cli.database import transaction
    from pouch.cli.reading import read_settings
    from pouch.identity.keys import add_key
    from pouch.identity.types import SCOPES

    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(SCOPES)}.", param_hint="--scope")
    async with transaction(read_settings()) as db:
        _, secret = await add_key(db, await _person(db, email), name, scopes=scopes, limit=limit)
    return secret


async def _person(db: "Connection", email: str) -> "Person":
    from pouch.identity.people import find_person

    if (person := await find_person(db, email)) is None:
        raise NotFound(f"Nobody is registered as {email}.")
    return person
