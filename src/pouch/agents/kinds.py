"""The five kinds of agents: what each may do, and what an organization sets for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from pouch.agents.engines.types import AgentKind
from pouch.agents.types import KINDS
from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from pouch.base.languages import say
from pouch.base.money import Money

CAP_DEFAULT = Money.from_cents(5_00)
TIME_LIMIT_DEFAULT_S = 60 * 60
TIME_LIMIT_MAX_S = 24 * 60 * 60
PROMPT_CHARACTERS_MAX = 20_000

_ENGINE = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_WRITE: frozenset[AgentKind] = frozenset({"coder", "fixer"})


@dataclass(frozen=True, slots=True)
class Profile:
    """What an organization sets for one kind. `model_id` None: the first model that is offered."""

    kind: AgentKind
    model_id: str | None = None
    prompt: str = ""
    cap: Money = CAP_DEFAULT
    time_limit_s: int = TIME_LIMIT_DEFAULT_S
    engine: str = "native"


def may_write(kind: AgentKind) -> bool:
    """Whether agents of this kind may change the workspace."""
    return kind in _WRITE


def read_kind(text: str) -> AgentKind:
    """A kind by its name. Raises InvalidInput."""
    kind = next((each for each in KINDS if each == text), None)
    if kind is None:
        raise InvalidInput(f"An agent is one of {', '.join(KINDS)}.", field="agent")
    return kind


async def profiles(db: Connection, organization_id: UUID) -> Mapping[AgentKind, Profile]:
    """What the organization set for each kind, with what it did not set."""
    rows = await db.execute(
        """
        SELECT kind, model_id, prompt, cap_nanos, time_limit_s, engine FROM agent_profiles WHERE organization_id = %s
        """,
        (organization_id,),
    )
    found = {
        kind: Profile(kind, model_id, prompt, Money(cap), time_limit_s, engine)
        for kind, model_id, prompt, cap, time_limit_s, engine in await rows.fetchall()
    }
    return {kind: found.get(kind, Profile(kind)) for kind in KINDS}


async def save_profile(db: Connection, organization_id: UUID, profile: Profile) -> None:
    """Set a kind's profile. Runs under way keep what they started with. Raises InvalidInput."""
    if profile.cap.nanos <= 0:
        raise InvalidInput(say("A run may cost more than nothing."), field="cap")
    if not 60 <= profile.time_limit_s <= TIME_LIMIT_MAX_S:
        raise InvalidInput(say("A run may take from one minute to 24 hours."), field="minutes")
    if not _ENGINE.fullmatch(profile.engine):
        raise InvalidInput(say("No machine that runs agents has this engine."), field="engine")
    if len(profile.prompt) > PROMPT_CHARACTERS_MAX:
        raise InvalidInput(f"Instructions have at most {PROMPT_CHARACTERS_MAX:,} characters.", field="prompt")
    await db.execute(
        """
        INSERT INTO agent_profiles (organization_id, kind, model_id, prompt, cap_nanos, time_limit_s, engine)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (organization_id, kind) DO UPDATE
           SET model_id = excluded.model_id, prompt = excluded.prompt, cap_nanos = excluded.cap_nanos,
               time_limit_s = excluded.time_limit_s, engine = excluded.engine, changed_at = clock_timestamp()
        """,
        (
            organization_id,
            profile.kind,
            profile.model_id,
            profile.prompt,
            profile.cap.nanos,
            profile.time_limit_s,
            profile.engine,
        ),
    )
