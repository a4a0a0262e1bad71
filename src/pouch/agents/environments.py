"""Environments: set-up commands, variables and secrets that runs of an organization may be given."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from pouch.agents.workshop import Place
from pouch.base.database import Connection
from pouch.base.errors import Conflict, InvalidInput, NotFound
from pouch.base.ids import new_id, show_id
from pouch.base.languages import say
from pouch.base.sealing import Seal

ValueKind = Literal["variable", "setup", "run"]
PURPOSE = "agent-environments"
COMMANDS_CHARACTERS_MAX = 20_000
VALUE_CHARACTERS_MAX = 10_000
VALUES_MAX = 100
ENVIRONMENTS_MAX = 100
SECRET_LENGTH_MIN = 5
"""A shorter one could not be taken out of what an agent says without tearing ordinary words."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?", re.ASCII)
# What would change how programs of ours start, and what the workshop sets itself.
_NOT_SET = re.compile(r"(LD_|DYLD_|GIT_|PYTHON|OPENAI_|BASH_ENV$|ENV$|PATH$|HOME$|IFS$|SHELL$|PROMPT_COMMAND$)")


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment without its secrets. `values` names each with its kind; of secrets there is no more to see."""

    id: UUID
    name: str
    commands: str
    hosts: str
    tools: str
    changed_at: datetime
    values: tuple[tuple[str, ValueKind, str], ...] = field(default=())

    @property
    def shown_id(self) -> str:
        """As it stands in addresses."""
        return show_id("env", self.id)


async def list_environments(db: Connection, organization_id: UUID) -> list[Environment]:
    """All of an organization's, by name."""
    rows = await db.execute(
        """
        SELECT id, name, commands, hosts, tools, changed_at FROM agent_environments
         WHERE organization_id = %s AND deleted_at IS NULL ORDER BY name
        """,
        (organization_id,),
    )
    return [Environment(*(*row, await _values(db, row[0]))) for row in await rows.fetchall()]


async def find_environment(db: Connection, organization_id: UUID, environment_id: UUID) -> Environment:
    """One of this organization. Raises NotFound for everybody else's."""
    rows = await db.execute(
        """
        SELECT id, name, commands, hosts, tools, changed_at FROM agent_environments
         WHERE organization_id = %s AND id = %s AND deleted_at IS NULL
        """,
        (organization_id, environment_id),
    )
    row = await rows.fetchone()
    if row is None:
        raise NotFound(say("There is no such environment."))
    return Environment(*(*row, await _values(db, row[0])))


async def save_environment(  # noqa: PLR0913 -- a form's fields, by name
    db: Connection,
    organization_id: UUID,
    *,
    environment_id: UUID | None,
    name: str,
    commands: str,
    hosts: str,
    tools: str = "",
    offered: Collection[str] = (),
) -> UUID:
    """Make an environment, or change one. `offered` are the tools that the operator has.

    Raises InvalidInput for a field, Conflict for a name that is taken.
    """
    name = " ".join(name.split())
    if not name or len(name) > 80 or not name.isprintable():
        raise InvalidInput(say("A name has 1 to 80 characters on one line."), field="name")
    if len(commands) > COMMANDS_CHARACTERS_MAX:
        raise InvalidInput(f"Commands have at most {COMMANDS_CHARACTERS_MAX:,} characters.", field="commands")
    wanted = " ".join(hosts.lower().replace(",", " ").split())
    if wrong := [each for each in wanted.split() if not _HOST.fullmatch(each)]:
        raise InvalidInput(f"{wrong[0][:60]} is not the name of a host.", field="hosts")
    asked = [" ".join(line.split()) for line in tools.splitlines() if line.strip()]
    if missing := [each for each in asked if each not in offered]:
        known = ", ".join(sorted(offered)) or "none"
        raise InvalidInput(f"{missing[0][:60]} is not offered here; there are: {known}.", field="tools")
    taken = await db.execute(
        """
        SELECT count(*), count(*) FILTER (WHERE name = %(name)s AND id IS DISTINCT FROM %(id)s) FROM agent_environments
         WHERE organization_id = %(organization)s AND deleted_at IS NULL
        """,
        {"organization": organization_id, "name": name, "id": environment_id},
    )
    ((count, same),) = await taken.fetchall()
    if same:
        raise Conflict(f"There is an environment called {name} already.")
    if environment_id is None:
        if count >= ENVIRONMENTS_MAX:
            raise Conflict(f"There are {ENVIRONMENTS_MAX} environments already.")
        environment_id = new_id()
        await db.execute(
            "INSERT INTO agent_environments (id, organization_id, name) VALUES (%s, %s, %s)",
            (environment_id, organization_id, name),
        )
    await db.execute(
        """
        UPDATE agent_environments SET name = %s, commands = %s, hosts = %s, tools = %s, changed_at = clock_timestamp()
         WHERE organization_id = %s AND id = %s
        """,
        (name, commands, wanted, "\n".join(dict.fromkeys(asked)), organization_id, environment_id),
    )
    return environment_id


async def set_value(  # noqa: PLR0913, PLR0917 -- a name, its kind and its text, in an environment
    db: Connection, seal: Seal, environment: Environment, name: str, kind: str, text: str
) -> None:
    """Set a variable or a secret. Secrets are sealed here and never shown again. Raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(say("A variable's name has letters, digits and underscores."), field="value_name")
    if _NOT_SET.match(name.upper()):
        raise InvalidInput(f"{name[:60]} is set by Pouch itself.", field="value_name")
    if len(text) > VALUE_CHARACTERS_MAX or "\x00" in text:
        raise InvalidInput(f"A value has at most {VALUE_CHARACTERS_MAX:,} characters.", field="value")
    if kind not in {"variable", "setup", "run"}:
        raise InvalidInput(say("A value is a variable, or a secret of the set-up or of the run."), field="value_kind")
    is_secret = kind != "variable"
    if is_secret and len(text) < SECRET_LENGTH_MIN:
        raise InvalidInput(f"A secret has at least {SECRET_LENGTH_MIN} characters.", field="value")
    if len(environment.values) >= VALUES_MAX and name not in {each[0] for each in environment.values}:
        raise InvalidInput(f"An environment has at most {VALUES_MAX} values.", field="value_name")
    sealed = seal.seal(text, _place(environment.id, name)) if is_secret else None
    await db.execute(
        """
        INSERT INTO agent_environment_values (environment_id, name, kind, plain, sealed) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (environment_id, name) DO UPDATE
           SET kind = excluded.kind, plain = excluded.plain, sealed = excluded.sealed
        """,
        (environment.id, name, kind, None if is_secret else text, sealed),
    )


async def remove_value(db: Connection, environment: Environment, name: str) -> None:
    """Forget a variable or secret."""
    await db.execute(
        "DELETE FROM agent_environment_values WHERE environment_id = %s AND name = %s", (environment.id, name)
    )


async def remove_environment(db: Connection, environment: Environment) -> None:
    """Take an environment away, with its secrets and its key. Runs that wait for it go on without."""
    await db.execute("DELETE FROM agent_deploy_keys WHERE environment_id = %s", (environment.id,))
    await db.execute("DELETE FROM agent_known_hosts WHERE environment_id = %s", (environment.id,))
    await db.execute("DELETE FROM agent_environment_values WHERE environment_id = %s", (environment.id,))
    await db.execute(
        "UPDATE agent_environments SET deleted_at = clock_timestamp() WHERE id = %s AND deleted_at IS NULL",
        (environment.id,),
    )


async def place_of(db: Connection, seal: Seal, organization_id: UUID, environment_id: UUID | None) -> Place:
    """The environment as an attempt gets it, secrets opened. Raises CannotOpen."""
    if environment_id is None:
        return Place()
    try:
        found = await find_environment(db, organization_id, environment_id)
    except NotFound:
        return Place()
    rows = await db.execute(
        "SELECT name, kind, plain, sealed FROM agent_environment_values WHERE environment_id = %s", (environment_id,)
    )
    values: Mapping[str, dict[str, str]] = {"variable": {}, "setup": {}, "run": {}}
    for name, kind, plain, sealed in await rows.fetchall():
        values[kind][name] = plain if sealed is None else seal.open(bytes(sealed), _place(environment_id, name))
    commands = tuple(line.strip() for line in found.commands.splitlines() if line.strip())
    return Place(
        commands=tuple(line for line in commands if not line.startswith("#")),
        variables=values["variable"],
        setup_secrets=values["setup"],
        run_secrets=values["run"],
        hosts=tuple(found.hosts.split()),
        tools=tuple(found.tools.splitlines()),
        changed=found.changed_at.isoformat(),
    )


async def _values(db: Connection, environment_id: UUID) -> tuple[tuple[str, ValueKind, str], ...]:
    rows = await db.execute(
        "SELECT name, kind, coalesce(plain, '') FROM agent_environment_values WHERE environment_id = %s ORDER BY name",
        (environment_id,),
    )
    return tuple((name, kind, plain) for name, kind, plain in await rows.fetchall())


def _place(environment_id: UUID, name: str) -> str:
    return f"{environment_id}:{name}"
