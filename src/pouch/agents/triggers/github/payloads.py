"""What GitHub delivers, as far as we read it: who did what where. What was said is asked for later, and never kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from pouch.agents.triggers.mentions import mentions
from pouch.agents.triggers.types import Happening

TRUSTED = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""Who may start runs, in GitHub's words. Whoever once contributed is not among them."""
LISTENED_TO = frozenset(
    {
        "issue_comment",
        "issues",
        "pull_request",
        "pull_request_review",
        "pull_request_review_comment",
        "installation",
    }
)


class Account(BaseModel):
    """Somebody on GitHub."""

    id: int
    login: str = Field(max_length=100)
    type: str = "User"

    @property
    def is_person(self) -> bool:
        """Neither a bot nor an App."""
        return self.type == "User" and not self.login.endswith("[bot]")


class Repository(BaseModel):
    """Where it happened."""

    full_name: str = Field(max_length=250, pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    default_branch: str = Field(default="", max_length=250)


class Written(BaseModel):
    """A comment, a review, or a pull request: somebody wrote it."""

    id: int
    user: Account | None = None
    author_association: str = "NONE"
    body: str | None = None
    performed_via_github_app: object = None
    pull_request_review_id: int | None = None
    state: str = ""
    draft: bool = False

    @property
    def is_trusted(self) -> bool:
        """Whether a person wrote it who may start runs."""
        is_person = self.user is not None and self.user.is_person and self.performed_via_github_app is None
        return is_person and self.author_association in TRUSTED


class Numbered(BaseModel):
    """An issue or a pull request."""

    number: int
    pull_request: object = None


class _Id(BaseModel):
    id: int


class _Label(BaseModel):
    name: str = Field(max_length=200)


class Payload(BaseModel):
    """One delivery."""

    action: str = ""
    installation: _Id | None = None
    repository: Repository | None = None
    sender: Account | None = None
    issue: Numbered | None = None
    pull_request: Numbered | None = None
    comment: Written | None = None
    review: Written | None = None
    label: _Label | None = None


class _Opened(BaseModel):
    pull_request: Written


@dataclass(frozen=True, slots=True)
class Seen:
    """What the first look makes of a delivery: where it is to be looked at, or why nothing is done."""

    facts: Mapping[str, str] | None = None
    why: str = ""


def read_payload(body: bytes) -> Payload | None:
    """A delivery, or None when it is none."""
    try:
        return Payload.model_validate_json(body)
    except ValidationError:
        return None


def first_look(event: str, payload: Payload, body: bytes, slug: str) -> Seen:
    """Leave alone what can never start a run: bots, strangers, what does not speak to us, what we do not listen to."""
    if payload.sender is None or payload.repository is None or payload.installation is None:
        return Seen(why="It says not who did what where.")
    if not payload.sender.is_person:
        return Seen(why="A bot did it.")
    found = _happened(event, payload, body, slug)
    if isinstance(found, str):
        return Seen(why=found)
    happening, more = found
    return Seen(
        {
            "happening": happening,
            "repository": payload.repository.full_name,
            "default_branch": payload.repository.default_branch,
            "sender": payload.sender.login,
            "sender_id": str(payload.sender.id),
            **more,
        }
    )


def _happened(  # noqa: PLR0911 -- one for each thing that may happen
    event: str, payload: Payload, body: bytes, slug: str
) -> tuple[Happening, dict[str, str]] | str:
    match event, payload:
        case "issue_comment", Payload(action="created", issue=Numbered() as issue, comment=Written() as comment):
            if not mentions(comment.body or "", slug):
                return "It does not speak to us."
            happening: Happening = "pull_mention" if issue.pull_request is not None else "issue_mention"
            return _if_trusted(comment, happening, {"number": str(issue.number), "comment": str(comment.id)})
        case "issues", Payload(action="labeled", issue=Numbered() as issue, label=_Label() as label):
            return "label", {"number": str(issue.number), "label": label.name}
        case "pull_request", Payload(action="opened" | "ready_for_review", pull_request=Numbered() as pull):
            opened = _opened(body)
            if opened is None or opened.draft:
                return "It is a draft."
            return _if_trusted(opened, "pull_opened", {"number": str(pull.number)})
        case "pull_request_review", Payload(
            action="submitted", pull_request=Numbered() as pull, review=Written() as review
        ):
            if review.state.lower() == "approved" and not review.body:
                return "It asks for nothing."
            return _if_trusted(review, "review", {"number": str(pull.number), "review": str(review.id)})
        case "pull_request_review_comment", Payload(
            action="created", pull_request=Numbered() as pull, comment=Written() as comment
        ):
            facts = {"number": str(pull.number), "comment": str(comment.id)}
            if comment.pull_request_review_id is not None:
                facts["review"] = str(comment.pull_request_review_id)
            return _if_trusted(comment, "review", facts)
        case _:
            return "Nothing is done about this."


def _if_trusted(
    written: Written, happening: Happening, facts: dict[str, str]
) -> tuple[Happening, dict[str, str]] | str:
    if not written.is_trusted:
        return "Whoever wrote it may not start runs."
    return happening, facts


def _opened(body: bytes) -> Written | None:
    try:
        return _Opened.model_validate_json(body).pull_request
    except ValidationError:
        return None
