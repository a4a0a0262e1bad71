"""GitHub as a place outside: who speaks for whom, what an event is about, what is told."""

from collections.abc import Mapping
from urllib.parse import urlencode

from pouch.agents.triggers.github.app import Acting, GitHub, read
from pouch.agents.triggers.github.installations import house_of
from pouch.agents.triggers.github.looking import Look
from pouch.agents.triggers.github.objects import Made
from pouch.agents.triggers.types import Event, Found, House, Ignored, Told
from pouch.base.database import Connection, Database

READS: Mapping[str, str] = {"contents": "read", "issues": "read", "pull_requests": "read", "metadata": "read"}
TELLS: Mapping[str, str] = {"issues": "write", "pull_requests": "write"}


class GitHubEnd:
    """GitHub. Each look and each telling makes a token of its own, which may do no more than that."""

    def __init__(self, database: Database, github: GitHub) -> None:
        self._database = database
        self._github = github

    async def house(self, db: Connection, house: str) -> House | None:
        """Whom an installation speaks for."""
        return await house_of(db, house)

    async def look(self, house: House, event: Event) -> Found | Ignored:
        """Read what an event is about. What was delivered is believed for no more than where to look."""
        acting = await self._github.token(int(house.id), event.facts["repository"], READS)
        look = Look(self._database, self._github.names, acting, house, event)
        match event.happening:
            case "issue_mention" | "pull_mention":
                return await look.mention()
            case "label":
                return await look.label()
            case "pull_opened":
                return await look.opened()
            case "review":
                return await look.review()
            case _:
                return Ignored("Nothing is done about this.")

    async def tell(self, house: House, told: Told) -> str:
        """Write a comment, or change the one that was written. After a crash it is looked for first."""
        acting = await self._github.token(int(house.id), told.place["repository"], TELLS)
        mark = f"<!-- pouch:{told.mark} -->"
        body = f"{told.text}\n\n{mark}"
        message, number = told.message, told.place["number"]
        if not message and told.is_again:
            message = await _find(acting, number, mark, told.since)
        if message:
            await acting.ask("PATCH", f"/issues/comments/{message}", {"body": body})
            return message
        return str(read(Made, await acting.ask("POST", f"/issues/{number}/comments", {"body": body})).id)


async def _find(acting: Acting, number: str, mark: str, since: str) -> str:
    query = urlencode({"per_page": 100, "since": since})
    found = read(list[Made], await acting.ask("GET", f"/issues/{number}/comments?{query}"))
    return next((str(each.id) for each in found if mark in (each.body or "")), "")
