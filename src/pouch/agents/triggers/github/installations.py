"""Accounts on GitHub that speak for organizations here, and who people are there.

In words.

- An installation speaks for one organization at a time: the first that connects it, until it is let go.
- Only GitHub says that a person may connect one, and who they are: nothing that a browser brings is believed.
"""

import hashlib
import secrets
from dataclasses import dataclass
from uuid import UUID

from pouch.agents.triggers import rules
from pouch.agents.triggers.rules import New, list_rules
from pouch.agents.triggers.types import House
from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.ids import new_id, show_id
from pouch.base.languages import say
from pouch.identity.organizations import role_of
from pouch.identity.types import PersonId

STATE_MINUTES = 15


@dataclass(frozen=True, slots=True)
class Installation:
    """An account on GitHub that is connected."""

    id: UUID
    github_id: int
    organization_id: UUID
    person_id: UUID
    account: str
    is_suspended: bool

    @property
    def shown_id(self) -> str:
        """As it stands in addresses."""
        return show_id("inst", self.id)


@dataclass(frozen=True, slots=True)
class Visit:
    """A person's way to GitHub and back."""

    organization_id: UUID
    person_id: UUID
    session_id: UUID


async def begin_visit(db: Connection, visit: Visit) -> str:
    """Let a person go to GitHub: the token that must come back with them, once and within minutes."""
    token = secrets.token_urlsafe(32)
    await db.execute("DELETE FROM agent_connect_states WHERE expires_at < clock_timestamp()")
    await db.execute(
        """
        INSERT INTO agent_connect_states (token_hash, organization_id, person_id, session_id, expires_at)
        VALUES (%s, %s, %s, %s, clock_timestamp() + make_interval(mins => %s))
        """,
        (_hash(token), visit.organization_id, visit.person_id, visit.session_id, STATE_MINUTES),
    )
    return token


async def end_visit(db: Connection, token: str, visit: Visit) -> bool:
    """Whether this very person, in this very sign-in, was sent there. The token is used up."""
    found = await db.execute(
        """
        DELETE FROM agent_connect_states
         WHERE token_hash = %s AND organization_id = %s AND person_id = %s AND session_id = %s
           AND expires_at > clock_timestamp()
        """,
        (_hash(token), visit.organization_id, visit.person_id, visit.session_id),
    )
    return found.rowcount == 1


async def connect(db: Connection, visit: Visit, github_id: int, account: str) -> bool:
    """Let an installation speak for an organization. False when it speaks for another one."""
    added = await db.execute(
        """
        INSERT INTO agent_installations (id, github_id, organization_id, person_id, account) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (github_id) WHERE ended_at IS NULL DO UPDATE
           SET account = excluded.account, person_id = excluded.person_id
         WHERE agent_installations.organization_id = excluded.organization_id
        """,
        (new_id(), github_id, visit.organization_id, visit.person_id, account),
    )
    if added.rowcount == 0:
        return False
    if not any(rule.source == "github" for rule in await list_rules(db, visit.organization_id)):
        for new in FIRST_RULES:
            await rules.add_rule(db, visit.organization_id, visit.person_id, new)
    return True


FIRST_RULES = (
    New("github", "issue_mention", fields={"agent": "coder"}),
    New("github", "pull_mention", fields={"agent": "fixer"}),
    New("github", "review", fields={"agent": "fixer"}),
    New("github", "label", label="pouch", fields={"agent": "coder"}, is_on=False),
    New("github", "pull_opened", fields={"agent": "reviewer"}, is_on=False),
)
"""What whoever connects a first account begins with. What would start by itself waits to be switched on."""


async def disconnect(db: Connection, organization_id: UUID, installation_id: UUID) -> None:
    """Let an installation speak for nobody any more. Raises NotFound."""
    ended = await db.execute(
        """
        UPDATE agent_installations SET ended_at = clock_timestamp()
         WHERE id = %s AND organization_id = %s AND ended_at IS NULL
        """,
        (installation_id, organization_id),
    )
    if ended.rowcount == 0:
        raise NotFound(say("There is no such connection."))


async def changed_there(db: Connection, github_id: int, action: str) -> None:
    """It was removed, suspended or allowed again on GitHub."""
    match action:
        case "deleted":
            change = "ended_at = clock_timestamp()"
        case "suspend":
            change = "suspended_at = clock_timestamp()"
        case "unsuspend":
            change = "suspended_at = NULL"
        case _:
            return
    await db.execute(
        f"UPDATE agent_installations SET {change} WHERE github_id = %s AND ended_at IS NULL".encode(), (github_id,)
    )


async def list_installations(db: Connection, organization_id: UUID) -> list[Installation]:
    """What is connected to an organization."""
    rows = await db.execute(
        """
        SELECT id, github_id, organization_id, person_id, account, suspended_at IS NOT NULL FROM agent_installations
         WHERE organization_id = %s AND ended_at IS NULL ORDER BY account
        """,
        (organization_id,),
    )
    return [Installation(*row) for row in await rows.fetchall()]


async def installation_for(db: Connection, organization_id: UUID, full_name: str) -> Installation | None:
    """What of this organization speaks for a repository."""
    owner = full_name.partition("/")[0].lower()
    found = await list_installations(db, organization_id)
    return next((each for each in found if each.account.lower() == owner and not each.is_suspended), None)


async def house_of(db: Connection, github_id: str) -> House | None:
    """Whom an installation speaks for now. None: nobody, or it is suspended."""
    rows = await db.execute(
        """
        SELECT organization_id, person_id FROM agent_installations
         WHERE github_id = %s AND ended_at IS NULL AND suspended_at IS NULL
        """,
        (int(github_id),),
    )
    row = await rows.fetchone()
    return None if row is None else House(github_id, row[0], row[1])


async def know_person(db: Connection, person_id: UUID, github_id: int, login: str) -> None:
    """Remember who a person is on GitHub."""
    await db.execute(
        """
        INSERT INTO agent_github_people (person_id, github_id, login) VALUES (%s, %s, %s)
        ON CONFLICT (person_id) DO UPDATE SET github_id = excluded.github_id, login = excluded.login
        """,
        (person_id, github_id, login),
    )


async def login_of(db: Connection, person_id: UUID) -> str:
    """What a person is called on GitHub, as far as we know."""
    rows = await db.execute("SELECT login FROM agent_github_people WHERE person_id = %s", (person_id,))
    row = await rows.fetchone()
    return row[0] if row else ""


async def payer_of(db: Connection, house: House, github_id: int) -> UUID:
    """For whom a run counts that somebody on GitHub asks for: themselves where we know them, else who connected it."""
    rows = await db.execute(
        "SELECT person_id FROM agent_github_people WHERE github_id = %s ORDER BY person_id", (github_id,)
    )
    for (person_id,) in await rows.fetchall():
        if await role_of(db, house.organization_id, person_id) is not None:
            found: UUID = person_id
            return found
    assert house.person_id is not None, "somebody connected it"
    return house.person_id


async def forget_person(db: Connection, person_id: PersonId) -> None:
    """Forget who somebody is on GitHub, and end what they connected: nobody else said that it may be used."""
    await db.execute("DELETE FROM agent_github_people WHERE person_id = %s", (person_id,))
    await db.execute("DELETE FROM agent_connect_states WHERE person_id = %s", (person_id,))
    await db.execute(
        "UPDATE agent_installations SET ended_at = clock_timestamp() WHERE person_id = %s AND ended_at IS NULL",
        (person_id,),
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
