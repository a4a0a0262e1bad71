"""From what a form, a program or a schedule asks for to a run: read, filled up from the agent's profile, checked."""

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit
from uuid import UUID

from pouch.agents import workers
from pouch.agents.deploy_keys import find_key
from pouch.agents.environments import find_environment
from pouch.agents.errors import NoAgentsHere
from pouch.agents.kinds import TIME_LIMIT_MAX_S, profiles, read_kind
from pouch.agents.sandboxes.ssh import read_ssh
from pouch.agents.start import Asked, Starter, start_run
from pouch.agents.store import find_run
from pouch.agents.types import Run
from pouch.base.database import Connection
from pouch.base.errors import InvalidInput
from pouch.base.ids import read_id
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.catalog.types import Model

Find = Callable[[str], Model | None]
First = Callable[[], Model | None]

REF_CHARACTERS_MAX = 200
# What git allows in a branch's name and no shell or option reads as anything else.
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@+-]*", re.ASCII)


class Asking:
    """Starts runs. `find` and `first` are the catalog's; `check_address` refuses what may not be cloned."""

    def __init__(
        self,
        *,
        find: Find,
        first: First,
        check_address: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._find = find
        self._first = first
        self._check_address = check_address or check_https

    async def start(
        self,
        db: Connection,
        starter: Starter,
        fields: Mapping[str, str],
        *,
        is_operator: bool = False,
        environment_id: UUID | None = None,
    ) -> tuple[Run, bool]:
        """Start what the fields ask for: agent, task, repository, branch, model, engine, cap_usd, minutes, environment.

        Raises InvalidInput for a field, NoAgentsHere when nobody could run it, NotEnoughCredits.
        """
        kind = read_kind(fields.get("agent", "").strip() or "coder")
        profile = (await profiles(db, starter.organization_id))[kind]
        model = self._model(fields.get("model", "").strip() or profile.model_id)
        address = fields.get("repository", "").strip()
        self._check_address(address, is_operator)
        if environment_id is None and (given := fields.get("environment", "").strip()):
            environment_id = read_id("env", given)
            if environment_id is None:
                raise InvalidInput(say("There is no such environment."), field="environment")
        if environment_id is not None:
            await find_environment(db, starter.organization_id, environment_id)
        if read_ssh(address) is not None:
            key = await find_key(db, environment_id) if environment_id is not None else None
            if key is None:
                text = say("A repository over ssh needs an environment with a deploy key.")
                raise InvalidInput(text, field="environment")
        asked = Asked(
            kind=kind,
            task=fields.get("task", "").replace("\r\n", "\n").strip(),
            repository=address,
            branch=read_ref(fields.get("branch", "").strip()),
            cap=read_cap(fields.get("cap_usd", "").strip()) or profile.cap,
            time_limit_s=read_minutes(fields.get("minutes", "").strip()) or profile.time_limit_s,
            prompt=profile.prompt,
            engine=fields.get("engine", "").strip() or profile.engine,
            environment_id=environment_id,
        )
        if not await workers.are_there(db):
            raise NoAgentsHere
        if asked.engine not in await workers.engines(db):
            raise InvalidInput(say("No machine that runs agents has this engine."), field="engine")
        return await start_run(db, starter, asked, model)

    async def retry(
        self, db: Connection, organization_id: UUID, person_id: UUID, run_id: UUID, *, key_id: UUID | None = None
    ) -> Run:
        """Start a run like one that is over, with today's price. Asked twice for one run, it starts once."""
        former = await find_run(db, organization_id, run_id)
        if not former.is_over:
            raise InvalidInput(say("This run is not over."))
        asked = Asked(
            kind=former.kind,
            task=former.task,
            repository=former.repository,
            branch=former.branch,
            cap=former.cap,
            time_limit_s=former.time_limit_s,
            prompt=former.prompt,
            engine=former.engine,
            environment_id=former.environment_id,
        )
        if asked.engine not in await workers.engines(db):
            raise InvalidInput(say("No machine that runs agents has this engine."), field="engine")
        starter = Starter(organization_id, person_id, "retry", f"retry:{former.id}", former.id, key_id)
        run, _ = await start_run(db, starter, asked, self._model(former.model_id))
        return run

    def _model(self, model_id: str | None) -> Model:
        model = self._find(model_id) if model_id else self._first()
        if model is None:
            raise InvalidInput(say("This model is not offered here."), field="model")
        return model


def agent_model(models: Sequence[Model]) -> Model | None:
    """What agents use where nobody chose: a model made for code, else the first that has a price, else the first."""
    made_for_code = (model for model in models if "coder" in model.id)
    paid = (model for model in models if not model.is_free)
    return next(made_for_code, None) or next(paid, None) or next(iter(models), None)


def check_https(address: str, _is_operator: bool) -> None:
    """Only https addresses without a password in them. Raises InvalidInput."""
    parts = urlsplit(address) if len(address) <= 500 and address.isprintable() else None
    if parts is None or parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or parts.query:
        raise InvalidInput(
            say("Write the repository's address like https://git.example.com/team/project.git."), field="repository"
        )


def read_ref(text: str) -> str:
    """A branch, tag or commit, or nothing for the default branch. Raises InvalidInput."""
    if text and (len(text) > REF_CHARACTERS_MAX or not _REF.fullmatch(text) or ".." in text or text.endswith(".lock")):
        raise InvalidInput(say("That is not the name of a branch."), field="branch")
    return text


def read_cap(text: str) -> Money | None:
    """An amount in dollars, or nothing. Raises InvalidInput."""
    text = text.removeprefix("$")
    if not text:
        return None
    try:
        return Money.parse(text)
    except ValueError:
        raise InvalidInput(say("Write an amount in dollars, such as 5.00."), field="cap_usd") from None


def read_minutes(text: str) -> int | None:
    """Minutes as seconds, or nothing. Raises InvalidInput."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 60 <= int(text) * 60 <= TIME_LIMIT_MAX_S):
        raise InvalidInput(say("Write a number of minutes from 1 to 1,440."), field="minutes")
    return int(text) * 60
