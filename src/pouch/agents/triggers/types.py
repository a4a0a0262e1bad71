"""What all places outside have in common: something happens, somebody trusted asked, a run starts, and is told of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args
from uuid import UUID

from pouch.base.database import Connection
from pouch.base.errors import PouchError

Source = Literal["github", "slack", "linear"]
SOURCES: tuple[Source, ...] = get_args(Source)

Happening = Literal["issue_mention", "pull_mention", "label", "pull_opened", "review", "message"]
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)


class Silent(Exception):
    """The far end did not answer, or asked us to wait: try again later."""


class RefusedThere(Exception):
    """The far end said no; asking again changes nothing."""


class NotSigned(PouchError):
    """It does not come from where it says, or is too old."""

    code = "not_signed"
    status = 400

    def __init__(self) -> None:
        super().__init__("This is not signed as it should be.")


@dataclass(frozen=True, slots=True)
class House:
    """What speaks for an organization outside: an installation, a workspace.

    `person_id` is for whom runs count when we do not know who asks; None: those of strangers do not start.
    """

    id: str
    organization_id: UUID
    person_id: UUID | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was delivered. `facts` say where to look, never what was said."""

    id: UUID
    source: Source
    delivery: str
    house: str
    facts: Mapping[str, str]

    @property
    def happening(self) -> str:
        """What happened."""
        return self.facts.get("happening", "")

    @property
    def place(self) -> str:
        """Where, as rules name it."""
        return self.facts.get("repository") or self.facts.get("channel") or ""

    @property
    def label(self) -> str:
        """The label that was put on, if that happened."""
        return self.facts.get("label", "")


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at the far end found: somebody who may ask, and what is asked.

    `key` is the same for everything that means the same wish; `place` is where the answer goes. `head` is the branch
    that the work is pushed to, nothing for one of its own; `pull` the pull request that it belongs to.
    """

    key: str
    person_id: UUID
    task: str
    place: Mapping[str, str]
    repository: str = ""
    branch: str = ""
    full_name: str = ""
    base: str = ""
    head: str = ""
    issue: int = 0
    pull: int = 0
    pull_url: str = ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing is started, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to tell of a run. `message` is what was told before, nothing the first time; `text` is Markdown."""

    place: Mapping[str, str]
    message: str
    text: str
    mark: str = ""
    since: str = ""
    """When the run began: no message about it is older."""
    is_again: bool = False
    """It was tried before, so the message may be there already."""


class FarEnd(Protocol):
    """One of the places outside."""

    async def house(self, db: Connection, house: str) -> House | None:
        """Whose it is. None when it is connected to nobody here."""
        ...

    async def look(self, house: House, event: Event) -> Found | Ignored:
        """Ask the far end what an event is about, and check who asks. Raises Silent, RefusedThere."""
        ...

    async def tell(self, house: House, told: Told) -> str:
        """Say it, or change what was said; what the message is called there. Raises Silent, RefusedThere."""
        ...
