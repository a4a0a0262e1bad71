"""What an event on GitHub is about: who asks, checked there once more, and what they ask, read there."""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from pouch.agents.triggers import origins
from pouch.agents.triggers.github.app import Acting, Names, read
from pouch.agents.triggers.github.installations import payer_of
from pouch.agents.triggers.github.objects import Comment, Issue, Permission, Pull
from pouch.agents.triggers.github.payloads import Account, Written
from pouch.agents.triggers.mentions import mentions
from pouch.agents.triggers.texts import Quoted, code, task_of
from pouch.agents.triggers.types import Event, Found, House, Ignored
from pouch.base.database import Database

COMMENTS_READ = 50
MAY_LABEL = frozenset({"admin", "maintain", "write", "triage"})
STRANGER = Ignored("Whoever wrote it may not start runs.")


class Look:
    """One look, with a token of its own that may only read."""

    def __init__(self, database: Database, names: Names, acting: Acting, house: House, event: Event) -> None:
        self._database = database
        self._names = names
        self._acting = acting
        self._house = house
        self._facts = event.facts
        self._delivery = event.delivery
        self._number = event.facts["number"]

    async def mention(self) -> Found | Ignored:
        """Somebody speaks to us in a comment."""
        comment = read(Written, await self._acting.ask("GET", f"/issues/comments/{self._facts['comment']}"))
        if not comment.is_trusted or comment.user is None:
            return STRANGER
        if not mentions(comment.body or "", self._names.slug):
            return Ignored("It does not speak to us any more.")
        is_pull = self._facts["happening"] == "pull_mention"
        about = await self._pull() if is_pull else await self._issue()
        quoted = [*_first(about), *await self._talk(about.comments, but=comment.id)]
        task = task_of(f"#{self._number} {about.title}", comment.body or "", f"@{comment.user.login}", quoted)
        found = await self._found(f"comment:{comment.id}", comment.user, task)
        return _on_branch(found, about) if isinstance(about, Pull) else found

    async def label(self) -> Found | Ignored:
        """Somebody put a label on an issue: it is them who ask, whoever wrote the issue."""
        sender = Account(id=int(self._facts["sender_id"]), login=self._facts["sender"])
        asked = await self._acting.ask("GET", f"/collaborators/{quote(sender.login, safe='')}/permission")
        may = read(Permission, asked)
        if not {may.permission, may.role_name} & MAY_LABEL:
            return Ignored("Whoever put the label on may not start runs.")
        issue = await self._issue()
        wish = f"Do what this issue is about. For that it was given the label “{self._facts['label']}”."
        quoted = [*_first(issue), *await self._talk(issue.comments)]
        task = task_of(f"#{self._number} {issue.title}", wish, f"@{sender.login}", quoted)
        return await self._found(f"label:{self._delivery}", sender, task)

    async def opened(self) -> Found | Ignored:
        """A pull request was opened."""
        pull = await self._pull()
        if not pull.is_trusted or pull.user is None:
            return STRANGER
        wish = f"Review the changes of this branch against origin/{pull.base.ref}."
        task = task_of(f"#{self._number} {pull.title}", wish, f"@{pull.user.login}", _first(pull))
        return _on_branch(await self._found(f"opened:{self._number}", pull.user, task), pull)

    async def review(self) -> Found | Ignored:
        """Somebody reviewed a pull request, in one comment or in many: that is one wish."""
        review, pull = self._facts.get("review", ""), await self._pull()
        head, comments = await self._read_review(review)
        if not head.is_trusted or head.user is None:
            return STRANGER
        said = [each for each in comments if each.user is not None and each.user.id == head.user.id]
        texts = [head.body or "", *(each.body or "" for each in said)]
        if not any(map(str.strip, texts)):
            return Ignored("It asks for nothing.")
        async with self._database.transaction() as db:
            name = self._facts["repository"]
            is_ours = await origins.is_ours(db, self._house.organization_id, name, pull.head.ref)
        if not is_ours and not any(mentions(text, self._names.slug) for text in texts):
            return Ignored("It is not our pull request, and nobody speaks to us.")
        own = [head.body] if review and head.body else []
        wish = "\n\n".join(["Address this review.", *own, *map(_placed, said)])
        task = task_of(f"#{self._number} {pull.title}", wish, f"@{head.user.login}", _first(pull))
        key = f"review:{review}" if review else f"review-comment:{self._facts['comment']}"
        return _on_branch(await self._found(key, head.user, task), pull)

    async def _read_review(self, review: str) -> tuple[Written, Sequence[Comment]]:
        if not review:
            comment = read(Comment, await self._acting.ask("GET", f"/pulls/comments/{self._facts['comment']}"))
            return comment, [comment]
        path = f"/pulls/{self._number}/reviews/{review}"
        head = read(Written, await self._acting.ask("GET", path))
        return head, read(list[Comment], await self._acting.ask("GET", f"{path}/comments?per_page=100"))

    async def _found(self, key: str, asker: Account, task: str) -> Found:
        name = self._facts["repository"]
        async with self._database.transaction() as db:
            payer = await payer_of(db, self._house, asker.id)
        return Found(
            key=f"{name.lower()}:{key}",
            person_id=payer,
            task=task,
            place={"repository": name, "number": self._number},
            repository=self._names.clone_url(name),
            full_name=name,
            base=self._facts.get("default_branch", ""),
            issue=int(self._number),
        )

    async def _issue(self) -> Issue:
        return read(Issue, await self._acting.ask("GET", f"/issues/{self._number}"))

    async def _pull(self) -> Pull:
        return read(Pull, await self._acting.ask("GET", f"/pulls/{self._number}"))

    async def _talk(self, count: int, *, but: int = 0) -> list[Quoted]:
        """The newest comments. GitHub lists the oldest first, a page at a time."""
        last = max(-(-count // COMMENTS_READ), 1)
        found: list[Written] = []
        for page in range(max(last - 1, 1), last + 1):
            path = f"/issues/{self._number}/comments?per_page={COMMENTS_READ}&page={page}"
            found += read(list[Written], await self._acting.ask("GET", path))
        # Our own words are no news to an agent.
        return [
            Quoted("A comment", f"@{each.user.login}", each.body or "")
            for each in found[-COMMENTS_READ:]
            if each.id != but and each.user is not None and each.user.is_person and each.body
        ]


def _first(issue: Issue | Pull) -> list[Quoted]:
    author = f"@{issue.user.login}" if issue.user is not None else "somebody"
    return [Quoted("The description", author, issue.body)] if issue.body else []


def _placed(comment: Comment) -> str:
    where = f"{code(comment.path)}{f', line {comment.line}' if comment.line else ''}" if comment.path else "the change"
    hunk = "\n".join(f"    {line}" for line in comment.diff_hunk.splitlines()[-8:])
    return "\n\n".join(filter(None, [f"About {where}:", hunk, comment.body or ""]))


def _on_branch(found: Found, pull: Pull) -> Found | Ignored:
    # What lies in a fork is somebody else's: we may neither read it with this token nor push to it.
    if pull.head.repo is None or pull.head.repo.full_name.lower() != found.full_name.lower():
        return Ignored("It comes from a fork.")
    head, base = pull.head.ref, pull.base.ref
    return replace(found, branch=head, head=head, base=base, pull=found.issue, pull_url=pull.html_url)
