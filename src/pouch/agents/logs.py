"""What a run's programs printed, command by command, apart from the timeline's sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pouch.agents.events import RunEvent
from pouch.base.database import Connection

EVENTS_MAX = 2_000
"""The newest of them; all are in the API."""


@dataclass(slots=True)
class Printed:
    """A command, or none where a program said something by itself, and what it printed."""

    at: datetime
    command: str
    text: str = ""
    code: int | None = None

    @property
    def clock(self) -> str:
        """The time of day in UTC."""
        return f"{self.at.astimezone(UTC):%H:%M:%S}"


async def printing_events(db: Connection, run_id: UUID) -> list[RunEvent]:
    """The events that are about what was printed, oldest first."""
    rows = await db.execute(
        """
        SELECT seq, at, type, body FROM agent_run_events
         WHERE run_id = %s AND type IN ('setup_log', 'tool_call', 'tool_output', 'log') ORDER BY seq DESC LIMIT %s
        """,
        (run_id, EVENTS_MAX),
    )
    return [RunEvent(*row) for row in reversed(await rows.fetchall())]


def printed(events: Sequence[RunEvent]) -> list[Printed]:
    """Put each output to its command."""
    found: list[Printed] = []
    calls: dict[str, Printed] = {}
    for event in events:
        body, text = event.body, str(event.body.get("text") or "")
        code = body.get("code")
        match event.type:
            case "tool_call":
                entry = Printed(event.at, str(body.get("command") or body.get("name") or ""))
                calls[str(body.get("id"))] = entry
                found.append(entry)
            case "tool_output" if (call := calls.pop(str(body.get("id")), None)) is not None:
                call.text, call.code = text, code if isinstance(code, int) else None
            case "setup_log":
                command = str(body.get("command") or "")
                if not found or found[-1].command != command or found[-1].code is not None:
                    found.append(Printed(event.at, command))
                found[-1].text += text
                found[-1].code = code if isinstance(code, int) else None
            case _:
                if not found or found[-1].command:
                    found.append(Printed(event.at, ""))
                found[-1].text += f"{text}\n"
    return found
