"""What the real extension sends, header by header, and a browser for the pages on the way.

Written from the wire contract, which was observed from the unmodified client.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import uuid4

import httpx
import orjson

from pouch.base.ids import show_id
from routes.stage import Somebody, Stage

VERSION = "3.52.1"
REDIRECT = "vscode://RooVeterinaryInc.roo-cline"
CLERK_HEADERS = {"user-agent": f"Roo-Code {VERSION}", "accept": "*/*"}
PROVIDER_HEADERS = {
    "http-referer": "https://github.com/RooVetGit/Roo-Cline",
    "x-title": "Roo Code",
    "user-agent": f"RooCode/{VERSION}",
}
CALLBACK = re.compile(r'data-callback-url="([^"]+)"')


@dataclass
class Browser:
    """A person's browser: it has their session, and its requests come from our own pages."""

    http: httpx.AsyncClient
    stage: Stage
    who: Somebody

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path, headers=self.stage.headers(self.who))

    async def post(self, path: str, form: Mapping[str, str] | None = None) -> httpx.Response:
        return await self.http.post(path, data=dict(form or {}), headers=self.stage.headers(self.who))

    async def allow(
        self, page: str, *, organization: str | None = None, model: str | None = None, decision: str = "allow"
    ) -> httpx.Response:
        """Open the page that a program opened, and press its button."""
        shown = await self.get(page)
        assert shown.status_code == 200, shown.text
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', shown.text))
        fields["organization"] = organization or show_id("org", self.who.person.organization_id)
        if model:
            fields["provider_model"] = model
        action = re.search(r'<form method="post" action="(/(?:extension|cli)/[^"]+)"', shown.text)
        assert action is not None
        return await self.post(action[1], fields | {"decision": decision})

    async def let_in(self, page: str, *, organization: str | None = None, model: str | None = None) -> str:
        """The same, up to the address that the editor is to open."""
        pressed = await self.allow(page, organization=organization, model=model)
        assert pressed.status_code == 303, pressed.text
        way_back = await self.get(pressed.headers["location"])
        found = CALLBACK.search(way_back.text)
        assert found is not None, way_back.text
        return found[1].replace("&amp;", "&")


@dataclass
class Extension:
    """Roo Code in an editor, from "Get started" on."""

    http: httpx.AsyncClient
    state: str = field(default_factory=lambda: secrets.token_hex(16))
    client_token: str = ""
    session_id: str = ""
    organization_id: str | None = None
    jwt: str = ""

    def page(self, path: str = "/extension/sign-in") -> str:
        """The address that it opens in the browser."""
        return f"{path}?state={self.state}&auth_redirect={quote(REDIRECT, safe='')}"

    async def sign_in(self, callback_url: str) -> httpx.Response:
        """What it does once the editor is called with the address."""
        query = parse_qs(urlsplit(callback_url).query)
        assert query["state"] == [self.state]
        organization_id = query.get("organizationId", ["null"])[0]
        answer = await self.http.post(
            "/v1/client/sign_ins",
            headers={**CLERK_HEADERS, "content-type": "application/x-www-form-urlencoded"},
            content=f"strategy=ticket&ticket={query['code'][0]}",
        )
        if answer.status_code == 200:
            self.client_token = answer.headers["authorization"]
            self.session_id = answer.json()["response"]["created_session_id"]
            self.organization_id = None if organization_id == "null" else organization_id
        return answer

    async def refresh(self) -> httpx.Response:
        """What it does at once, and then every 50 seconds."""
        answer = await self.http.post(
            f"/v1/client/sessions/{self.session_id}/tokens",
            headers=self.as_client(form=True),
            content=f"_is_native=1&organization_id={self.organization_id or ''}",
        )
        if answer.status_code == 200:
            self.jwt = answer.json()["jwt"]
        return answer

    async def sign_out(self) -> httpx.Response:
        return await self.http.post(
            f"/v1/client/sessions/{self.session_id}/remove",
            headers=self.as_client(form=True),
            content="_is_native=1",
        )

    def as_client(self, *, form: bool = False) -> dict[str, str]:
        """The headers for the sign-in API."""
        kind = {"content-type": "application/x-www-form-urlencoded"} if form else {}
        return {**CLERK_HEADERS, "authorization": f"Bearer {self.client_token}", **kind}

    def as_session(self) -> dict[str, str]:
        """The headers for the Cloud API."""
        return {
            "user-agent": "Roo-Code unknown",
            "content-type": "application/json",
            "authorization": f"Bearer {self.jwt}",
        }

    async def me(self) -> httpx.Response:
        return await self.http.get("/v1/me", headers=self.as_client())

    async def memberships(self) -> httpx.Response:
        return await self.http.get("/v1/me/organization_memberships", headers=self.as_client())

    async def balance(self) -> httpx.Response:
        return await self.http.get("/api/extension/credit-balance", headers=self.as_session())

    async def settings(self) -> dict[str, Any]:
        """What it asks when it becomes active, and then every hour."""
        answer = await self.http.get(
            "/api/extension-settings", headers={"authorization": f"Bearer {self.jwt}", "user-agent": "node"}
        )
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def change(self, settings: object, version: int | None = None) -> httpx.Response:
        """A switch that its person pressed."""
        body = {"settings": settings} | ({} if version is None else {"version": version})
        headers = {"authorization": f"Bearer {self.jwt}", "content-type": "application/json", "user-agent": "node"}
        return await self.http.patch("/api/user-settings", headers=headers, content=orjson.dumps(body))

    async def chat(self, model: str = "pouch/free", text: str = "one two three") -> httpx.Response:
        """A turn of a task, read to its end."""
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": 64,
            "temperature": 0,
            "messages": [
                {"role": "system", "content": "You are Roo."},
                {"role": "user", "content": [{"type": "text", "text": text}]},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        headers = {
            **PROVIDER_HEADERS,
            "authorization": f"Bearer {self.jwt}",
            "x-roo-app-version": VERSION,
            "x-roo-task-id": "0198c2f4-8b1e-7c3a-9d55-0d6f3f1a2b3c",
            "x-stainless-retry-count": "0",
        }
        return await self.http.post("/proxy/v1/chat/completions", headers=headers, json=body)


@dataclass
class Telling:
    """What the extension tells of a task while its person works."""

    extension: Extension
    task_id: str = field(default_factory=lambda: str(uuid4()))

    async def event(self, type_: str, **properties: object) -> httpx.Response:
        """One event, as it is sent for everything that happens."""
        common = {
            "appName": "roo-cline",
            "appVersion": VERSION,
            "vscodeVersion": "1.99.0",
            "platform": "linux",
            "editorName": "Visual Studio Code",
            "language": "en",
            "mode": "code",
            "cloudIsAuthenticated": True,
            "taskId": self.task_id,
            "apiProvider": "roo",
            "modelId": "pouch/free",
            "diffStrategy": "multi-search-and-replace",
            "isSubtask": False,
            "repositoryName": "harbor/pier",
        }
        document = {"type": type_, "properties": {**common, **properties}}
        return await self.post("/api/events", content=orjson.dumps(document))

    async def post(self, path: str, *, content: bytes, **headers: str) -> httpx.Response:
        """Telemetry sends no user agent of its own."""
        given = {
            "content-type": "application/json",
            "authorization": f"Bearer {self.extension.jwt}",
            "user-agent": "node",
        }
        return await self.extension.http.post(path, headers=given | headers, content=content)

    async def say(self, ts: int, text: str, *, about: str = "text", partial: bool = False) -> httpx.Response:
        """A message of the task."""
        message = {"ts": ts, "type": "say", "say": about, "text": text, "partial": partial}
        return await self.event("Task Message", message=message)

    async def completion(self, tokens_in: int, tokens_out: int, cost: float) -> httpx.Response:
        """A call to a model, of whichever provider."""
        return await self.event(
            "LLM Completion",
            inputTokens=tokens_in,
            outputTokens=tokens_out,
            cacheReadTokens=0,
            cacheWriteTokens=0,
            cost=cost,
        )

    async def backfill(self, messages: object) -> httpx.Response:
        """All messages at once, before a task is shared that is not kept."""
        parts: dict[str, tuple[str | None, bytes, str | None]] = {
            "taskId": (None, self.task_id.encode(), None),
            "properties": (None, orjson.dumps({"taskId": self.task_id, "mode": "code"}), None),
            "file": ("task.json", orjson.dumps(messages), "application/json"),
        }
        headers = {"authorization": f"Bearer {self.extension.jwt}", "user-agent": "node"}
        return await self.extension.http.post("/api/events/backfill", headers=headers, files=parts)

    async def share(self, visibility: str = "public") -> httpx.Response:
        """The Share button."""
        return await self.extension.http.post(
            "/api/extension/share",
            headers=self.extension.as_session(),
            content=orjson.dumps({"taskId": self.task_id, "visibility": visibility}),
        )


async def signed_in(browser: Browser, extension: Extension, *, organization: str | None = None) -> Extension:
    """The whole way, from the button in the editor to its first session token."""
    callback_url = await browser.let_in(extension.page(), organization=organization)
    answer = await extension.sign_in(callback_url)
    assert answer.status_code == 200, answer.text
    refreshed = await extension.refresh()
    assert refreshed.status_code == 200, refreshed.text
    return extension
