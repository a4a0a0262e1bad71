"""What runs ask of an engine: the program inside the sandbox that talks to the model and acts."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pouch.agents.sandboxes.types import Command

AgentKind = Literal["planner", "explainer", "reviewer", "coder", "fixer"]

EventType = Literal[
    "state",
    "message",
    "thought",
    "tool_call",
    "tool_output",
    "file_change",
    "usage",
    "cost",
    "egress_denied",
    "setup_log",
    "test_result",
    "git",
    "notice",
    "log",
]

EVENT_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a run's timeline. `data` is JSON, at most 64 kB once written. What engines say of cost is not billed.

    message      {text, is_summary, is_question}  what the agent says
    thought      {text}
    tool_call    {id, name, command}         command: what bash runs, or the arguments as JSON text
    tool_output  {id, text, code, is_cut}    code: of the command, null when there is none
    usage        {prompt_tokens, completion_tokens}
    git          {action: checkpoint, sha}
    notice       {text, code}                a limit that was met, a refusal of the gateway, a denied host
    egress_denied{text}
    log          {text}                      what was not understood
    """

    type: EventType
    data: Mapping[str, object]


Finish = Literal[
    "finished", "asks", "out_of_credits", "stopped", "step_limit", "repeating", "failed", "killed", "timed_out"
]
"""How an engine ended, as we saw it. `finished` only says that it stopped by itself: the diff says what was done.

    asks             it cannot go on without an answer of its person
    out_of_credits   the gateway refused a call of this run with 402 (the relay saw it)
    stopped          we asked it to
    killed           we asked it to, and it did not within its grace
    timed_out        its time was up
    failed           it broke, or its model could not be reached
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the agent is to do."""

    kind: AgentKind
    task: str
    model: str
    may_write: bool
    may_ask: bool = False
    """Whether somebody may be there to answer."""
    resume: bool = False
    """Go on with the conversation that lies in the home folder (see `Saved.session`)."""
    before: str = ""
    """What was asked for and said in turns before this one, for engines that keep no conversation."""
    steps_max: int = 100
    timeout_s: float = 3600
    instructions: str = ""
    """The organization's own words for this kind of agent, added to ours."""


class Engine(Protocol):
    """Knows how to start one program, and how to read what it says."""

    @property
    def name(self) -> str:
        """As in the configuration: native or opencode."""
        ...

    def command(self, turn: Turn) -> Command:
        """How the program is started in the phase `agent`."""
        ...

    def opening(self, turn: Turn) -> bytes:
        """What is written to its standard input first."""
        ...

    def read(self, line: bytes) -> Iterable[Event]:
        """What a line of its standard output means. What is not understood becomes a `log`."""
        ...

    def follow_up(self, text: str) -> bytes | None:
        """What is written to its standard input for a further message; None when it takes none while it runs."""
        ...

    def stop_request(self) -> bytes | None:
        """What is written to its standard input to end it; None: it gets SIGTERM."""
        ...

    def finish(self, code: int) -> Finish:
        """What its exit code claims. Only believed where nothing that we saw ourselves says otherwise."""
        ...


class Drive(Protocol):
    """An engine at work on one turn: what `engines.driving.drive(sandbox, engine, turn)` gives."""

    def events(self) -> AsyncIterator[Event]:
        """Everything that happens, in order, until the engine has ended."""
        ...

    async def say(self, text: str) -> bool:
        """Hand it a further message of the person. False when this engine takes none while it runs: keep it."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and end it after `grace_s`. `events` comes to its end; repeats safely."""
        ...

    def refused(self) -> None:
        """The gateway refused a call of this run for money: let the engine end. The relay calls it by itself."""
        ...

    @property
    def finish(self) -> Finish:
        """How it ended, once `events` is over."""
        ...
