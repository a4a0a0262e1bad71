"""GitHub whole, on one address: git's own server, `emulate` behind it, and what `emulate` has not.

What it has not (0.12.2): pushes; `/user/installations`; `/user/memberships/orgs`; `/app/hook/deliveries`.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from support.git_host import GitHost, Response, git_host
from support.github import APP_ID, INSTALLATION, OTHER_INSTALLATION, FakeGitHub

API = "/api/v3"
"""As GitHub Enterprise Server has it."""
_NOT_PASSED_ON = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}
_NOT_PASSED_BACK = {"content-length", "transfer-encoding", "connection", "content-encoding", "keep-alive", "date"}


@dataclass
class Front:
    """The address, and what is kept here. `admins` are those who administer the organization acme."""

    host: GitHost
    github: FakeGitHub
    folder: Path
    admins: set[str] = field(default_factory=lambda: {"alice"})
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    """Newest first, as GitHub lists them; each with its payload."""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.host.port}"

    @property
    def api(self) -> str:
        return f"{self.url}{API}"

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        asked = path.removeprefix(API)
        if (found := self._own(asked, headers)) is not None:
            status, document = found
            return status, {"content-type": "application/json"}, json.dumps(document).encode()
        passed = {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}
        answer = httpx.request(
            method, f"{self.github.url}{asked}", headers=passed, content=body, trust_env=False, timeout=30
        )
        back = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED_BACK}
        return answer.status_code, back, answer.content

    def was_pushed(self, repository: str) -> None:
        """Tell the emulator of every branch."""
        words = ["git", "-c", "safe.directory=*", "for-each-ref", "--format=%(refname:short)", "refs/heads"]
        listed = subprocess.run(words, cwd=self.folder / repository, capture_output=True, text=True, check=True)
        for branch in listed.stdout.split():
            if branch != "main":
                self.github.was_pushed(branch)

    def _own(self, path: str, headers: Mapping[str, str]) -> tuple[int, Any] | None:
        path = path.partition("?")[0]
        if path == "/user/installations":
            accounts = self._accounts(self._login(headers))
            return 200, {"total_count": len(accounts), "installations": accounts}
        if found := re.fullmatch(r"/user/memberships/orgs/(\w+)", path):
            role = "admin" if self._login(headers) in self.admins else "member"
            return 200, {"role": role, "state": "active", "organization": {"login": found[1]}}
        if path == "/app/hook/deliveries":
            return 200, [{name: value for name, value in each.items() if name != "request"} for each in self.deliveries]
        if found := re.fullmatch(r"/app/hook/deliveries/(\d+)", path):
            return 200, next(each for each in self.deliveries if each["id"] == int(found[1]))
        return None

    def _login(self, headers: Mapping[str, str]) -> str:
        given = {name.lower(): value for name, value in headers.items()}.get("authorization", "")
        answer = httpx.get(f"{self.github.url}/user", headers={"authorization": given}, trust_env=False, timeout=30)
        return str(answer.json()["login"])

    def _accounts(self, login: str) -> list[dict[str, Any]]:
        """Whoever sees a repository of an account sees its installation."""
        acme = {"login": "acme", "id": 9001, "type": "Organization"}
        found: list[dict[str, Any]] = [{"id": INSTALLATION, "app_id": APP_ID, "account": acme}]
        if login == "carol":
            own = {"login": "carol", "id": self.github.id_of("carol"), "type": "User"}
            found.append({"id": OTHER_INSTALLATION, "app_id": APP_ID, "account": own})
        return found


@contextmanager
def front(github: FakeGitHub, folder: Path) -> Iterator[Front]:
    """Serve the bare repositories of a folder, and everything else of GitHub."""
    with git_host(folder) as host:
        found = Front(host, github, folder)
        host.elsewhere, host.was_pushed = found.answer, found.was_pushed
        yield found
