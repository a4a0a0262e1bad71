"""Deliveries as GitHub documents them, written by hand: the fields that we read, and some that we do not."""

from typing import Any

REPOSITORY = {"id": 1296269, "full_name": "acme/app", "private": True, "default_branch": "main", "fork": False}
ALICE = {"login": "alice", "id": 11, "type": "User", "site_admin": False}
BOT = {"login": "dependabot[bot]", "id": 49699333, "type": "Bot", "site_admin": False}
STRANGER = {"login": "carol", "id": 13, "type": "User", "site_admin": False}


def delivery(*, sender: dict[str, Any] = ALICE, installation: int = 100, **more: Any) -> dict[str, Any]:
    return {
        "repository": REPOSITORY,
        "sender": sender,
        "installation": {"id": installation, "node_id": "MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9uMTAw"},
        **more,
    }


def issue(number: int = 5, *, is_pull: bool = False, user: dict[str, Any] = ALICE) -> dict[str, Any]:
    found = {"number": number, "title": "Sums are wrong", "user": user, "state": "open", "author_association": "NONE"}
    return found | (
        {"pull_request": {"url": f"https://api.github.com/repos/acme/app/pulls/{number}"}} if is_pull else {}
    )


def comment(
    body: str = "@pouch-test please fix this", *, user: dict[str, Any] = ALICE, association: str = "OWNER", **more: Any
) -> dict[str, Any]:
    return {
        "id": 7,
        "user": user,
        "body": body,
        "author_association": association,
        "performed_via_github_app": None,
    } | more


def issue_comment(action: str = "created", *, is_pull: bool = False, **more: Any) -> dict[str, Any]:
    user = more.get("user", ALICE)
    sender = more.pop("sender", user)
    installation = more.pop("installation", 100)
    about = issue(is_pull=is_pull)
    return delivery(sender=sender, installation=installation, action=action, issue=about, comment=comment(**more))


def labeled(label: str = "pouch", *, sender: dict[str, Any] = ALICE) -> dict[str, Any]:
    return delivery(sender=sender, action="labeled", issue=issue(user=STRANGER), label={"id": 1, "name": label})


def pull_request(action: str = "opened", *, association: str = "MEMBER", draft: bool = False) -> dict[str, Any]:
    pull = {"id": 99, "number": 6, "user": ALICE, "author_association": association, "draft": draft, "body": "Sums"}
    return delivery(action=action, number=6, pull_request=pull)


def review(action: str = "submitted", *, state: str = "changes_requested", body: str | None = "No.") -> dict[str, Any]:
    said = {"id": 80, "user": ALICE, "body": body, "state": state, "author_association": "MEMBER"}
    return delivery(action=action, review=said, pull_request={"id": 99, "number": 6})


def review_comment(action: str = "created", *, association: str = "MEMBER") -> dict[str, Any]:
    said = comment("Rename this.", association=association) | {"pull_request_review_id": 80, "path": "sums.py"}
    return delivery(action=action, comment=said, pull_request={"id": 99, "number": 6})
