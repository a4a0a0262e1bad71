"""Connecting an account on GitHub: a person goes there and comes back, and GitHub says who they are and what is theirs.

In words.

- Who comes back must be who was sent, in the same sign-in, within minutes, once (`state`).
- Which installations are theirs is asked of GitHub with what they brought, never read from the address: their own
  account's, and those of organizations that they administer.
- What GitHub gave for that visit is forgotten when the answer is there.
"""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from pouch.agents.triggers.github.app import GitHub, read
from pouch.agents.triggers.github.installations import Visit, begin_visit, connect, end_visit, know_person
from pouch.agents.triggers.github.payloads import Account
from pouch.agents.triggers.types import RefusedThere, Silent
from pouch.base.database import Database
from pouch.base.errors import InvalidInput, Unavailable
from pouch.base.languages import say

CALLBACK = "/agents/automations/github/callback"


class _Installation(BaseModel):
    id: int
    app_id: int
    account: Account


class _Installations(BaseModel):
    installations: list[_Installation]


class _Membership(BaseModel):
    role: str = ""
    state: str = "active"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a visit: accounts that are connected now, and those that speak for another organization here."""

    login: str
    connected: tuple[str, ...]
    taken: tuple[str, ...]


class Connecting:
    """Sends people to GitHub and takes them back."""

    def __init__(self, database: Database, github: GitHub, *, url: str) -> None:
        self._database = database
        self._github = github
        self._redirect_uri = f"{url}{CALLBACK}"

    async def begin(self, visit: Visit) -> str:
        """Where a person is sent."""
        names = self._github.names
        async with self._database.transaction() as db:
            state = await begin_visit(db, visit)
        query = urlencode({"client_id": names.client_id, "redirect_uri": self._redirect_uri, "state": state})
        return f"{names.web_base}/login/oauth/authorize?{query}"

    async def begin_install(self, visit: Visit) -> str:
        """Where a person is sent whose account has not installed the App yet."""
        async with self._database.transaction() as db:
            state = await begin_visit(db, visit)
        names = self._github.names
        return f"{names.web_base}/apps/{names.slug}/installations/new?{urlencode({'state': state})}"

    async def finish(self, visit: Visit, state: str, code: str) -> Outcome:
        """Connect what is theirs. Raises InvalidInput for who was not sent, Unavailable."""
        async with self._database.transaction() as db:
            is_theirs = await end_visit(db, state, visit)
        if not is_theirs or not 0 < len(code) <= 200 or not code.isprintable():
            raise InvalidInput(say("This way back from GitHub does not work, or not any more. Begin again."))
        try:
            token = await self._github.person_token(code, self._redirect_uri)
            person = read(Account, await self._github.send(token, "GET", "/user"))
            theirs = await self._theirs(token, person)
        except (Silent, RefusedThere):
            raise Unavailable(say("GitHub did not answer as it should. Try again."), retry_after_s=10) from None
        connected: list[str] = []
        taken: list[str] = []
        async with self._database.transaction() as db:
            await know_person(db, visit.person_id, person.id, person.login)
            for each in theirs:
                is_ours = await connect(db, visit, each.id, each.account.login)
                (connected if is_ours else taken).append(each.account.login)
        return Outcome(person.login, tuple(connected), tuple(taken))

    async def _theirs(self, token: str, person: Account) -> list[_Installation]:
        answer = await self._github.send(token, "GET", "/user/installations?per_page=100")
        found = []
        for each in read(_Installations, answer).installations:
            if each.app_id != self._github.names.app_id:
                continue
            if each.account.type == "User":
                is_theirs = each.account.id == person.id
            else:
                is_theirs = await self._administers(token, each.account.login)
            if is_theirs:
                found.append(each)
        return found

    async def _administers(self, token: str, login: str) -> bool:
        # To see an installation it is enough to see one of its repositories; to let it spend it is not.
        try:
            answer = await self._github.send(token, "GET", f"/user/memberships/orgs/{quote(login, safe='')}")
        except RefusedThere:
            return False
        membership = read(_Membership, answer)
        return membership.role == "admin" and membership.state == "active"
