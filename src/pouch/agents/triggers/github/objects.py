"""What GitHub answers, as far as we read it."""

from pydantic import BaseModel, Field

from pouch.agents.triggers.github.payloads import Account, Written


class Issue(BaseModel):
    """An issue, or a pull request seen as one."""

    title: str = Field(default="", max_length=10_000)
    body: str | None = None
    user: Account | None = None
    comments: int = 0


class Named(BaseModel):
    """A repository."""

    full_name: str


class Side(BaseModel):
    """A branch of a pull request. Without `repo` the fork it lay in is gone."""

    ref: str
    repo: Named | None = None


class Pull(Written):
    """A pull request."""

    title: str = ""
    html_url: str = ""
    number: int = 0
    comments: int = 0
    head: Side
    base: Side


class Comment(Written):
    """A comment on a line."""

    path: str = ""
    line: int | None = None
    diff_hunk: str = ""


class Permission(BaseModel):
    """What somebody may do in a repository."""

    permission: str = "none"
    role_name: str = ""


class Made(BaseModel):
    """What was made there."""

    id: int
    body: str | None = None
