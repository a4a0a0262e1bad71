"""GitHub as the tests have it: npm's `emulate` with an App that is installed, and people who write there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.emulate import emulated

APP_ID, SLUG, INSTALLATION, OTHER_INSTALLATION = 4711, "pouch-test", 100, 200
CLIENT_ID, CLIENT_SECRET, WEBHOOK_SECRET = "Iv1.pouchtest", "client secret", "webhook secret"
PERMISSIONS = {"contents": "write", "issues": "write", "pull_requests": "write", "metadata": "read", "members": "read"}
EVENTS = ["issue_comment", "issues", "pull_request", "pull_request_review", "pull_request_review_comment"]


def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


@dataclass
class FakeGitHub:
    """Where it listens, and what people do there. Alice owns acme/app; Bob may push, Dave read; Carol is a stranger."""

    url: str
    key: str
    _ids: dict[str, int] = field(default_factory=dict)

    def ask(self, who: str, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer token-{who}"}
        answer = httpx.request(method, f"{self.url}{path}", json=body, headers=headers, trust_env=False, timeout=30)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def issue(self, who: str = "alice", *, title: str = "Sums are wrong", body: str = "2 + 2 gives 0.") -> int:
        return int(self.ask(who, "POST", "/repos/acme/app/issues", {"title": title, "body": body})["number"])

    def comment(self, who: str, number: int, body: str) -> int:
        return int(self.ask(who, "POST", f"/repos/acme/app/issues/{number}/comments", {"body": body})["id"])

    def comments(self, number: int) -> list[Any]:
        found: list[Any] = self.ask("alice", "GET", f"/repos/acme/app/issues/{number}/comments?per_page=100")
        return found

    def was_pushed(self, branch: str) -> None:
        """The emulator takes no pushes: what was pushed elsewhere becomes a branch here."""
        main = self.ask("alice", "GET", "/repos/acme/app/branches/main")["commit"]["sha"]
        there = self.ask("alice", "GET", f"/repos/acme/app/git/matching-refs/heads/{branch}")
        if not there:
            self.ask("alice", "POST", "/repos/acme/app/git/refs", {"ref": f"refs/heads/{branch}", "sha": main})

    def id_of(self, who: str) -> int:
        return int(self.ask(who, "GET", "/user")["id"])


@contextmanager
def fake_github(*, webhook_url: str = "") -> Iterator[FakeGitHub]:
    key = private_key()
    app: dict[str, Any] = {
        "app_id": APP_ID,
        "slug": SLUG,
        "name": "Pouch Test",
        "private_key": key,
        "permissions": PERMISSIONS,
        "events": EVENTS,
        "installations": [
            {"installation_id": INSTALLATION, "account": "acme", "repository_selection": "all"},
            {"installation_id": OTHER_INSTALLATION, "account": "carol", "repository_selection": "all"},
        ],
    }
    if webhook_url:
        app |= {"webhook_url": webhook_url, "webhook_secret": WEBHOOK_SECRET}
    callback = f"{webhook_url.removesuffix('/webhooks/github')}/agents/automations/github/callback"
    people = ["alice", "bob", "carol", "dave"]
    github = {
        "users": [{"login": each, "email": f"{each}@example.com"} for each in people],
        "orgs": [{"login": "acme", "members": [{"login": "alice", "role": "admin"}]}],
        "repos": [
            {"owner": "acme", "name": "app", "private": False},
            {"owner": "carol", "name": "other", "private": False},
        ],
        "oauth_apps": [
            {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "name": "Pouch Test", "redirect_uris": [callback]}
        ],
        "apps": [app],
    }
    tokens = {f"token-{each}": {"login": each, "scopes": ["repo"]} for each in people}
    with emulated("github", {"github": github, "tokens": tokens}) as url:
        github_ = FakeGitHub(url, key)
        github_.ask("alice", "PUT", "/repos/acme/app/collaborators/bob", {"permission": "push"})
        github_.ask("alice", "PUT", "/repos/acme/app/collaborators/dave", {"permission": "pull"})
        yield github_
