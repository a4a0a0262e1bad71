"""Speaking to GitHub as our App, and as an installation with a token that is made for one act and kept nowhere."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from pouch.agents.triggers.types import RefusedThere, Silent
from pouch.agents.triggers.wire import Answer, Wire
from pouch.settings import Settings, SettingsError

VERSION = "2022-11-28"
LIFE_S = 540
"""Of what the App signs; GitHub takes ten minutes at most."""
CLOCK_MAY_DIFFER_S = 60

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Names:
    """What our App is called and where GitHub is."""

    app_id: int
    slug: str
    client_id: str
    web_base: str

    def clone_url(self, full_name: str) -> str:
        """A repository's address for git."""
        return f"{self.web_base}/{full_name}.git"

    def full_name(self, address: str) -> str:
        """The owner/name of an address for git; nothing when it is not on this GitHub."""
        rest = address.removeprefix(f"{self.web_base}/").removesuffix("/").removesuffix(".git")
        return rest if rest != address and rest.count("/") == 1 else ""


class GitHub:
    """The App. Nothing it returns or raises names a token."""

    def __init__(
        self, names: Names, *, private_key: str, client_secret: str, api_base: str, certificates: bytes = b""
    ) -> None:
        self.names = names
        self._key = RSAKey.import_key(private_key)
        self._client_secret = client_secret
        self._wire = Wire(api_base, certificates=certificates)
        self._web = Wire(names.web_base, certificates=certificates)

    @classmethod
    def of(cls, settings: Settings) -> "GitHub | None":
        """The App as the operator set it up; None when there is none. Raises SettingsError."""
        github = settings.file.agents.github
        if github is None:
            return None
        if settings.github_webhook_secret is None or settings.github_client_secret is None:
            raise SettingsError(
                "[agents.github] needs POUCH_GITHUB_WEBHOOK_SECRET and POUCH_GITHUB_CLIENT_SECRET in the environment."
            )
        names, certificates = (
            Names(github.app_id, github.slug, github.client_id, github.web_base),
            settings.file.agents.certificates,
        )
        try:
            return cls(
                names,
                private_key=Path(github.private_key_file).read_text(encoding="ascii"),
                client_secret=settings.github_client_secret.get_secret_value(),
                api_base=github.api_base,
                certificates=certificates.read_bytes() if certificates is not None else b"",
            )
        except OSError as error:
            raise SettingsError(f"[agents.github] {error.filename}: {error.strerror}.") from error
        except (ValueError, JoseError) as error:
            raise SettingsError("[agents.github] private_key_file is not a private key in PEM.") from error

    async def as_app(self, method: str, path: str, body: JsonValue = None) -> Answer:
        """Ask as the App itself."""
        now = int(time.time())
        claims = {"iat": now - CLOCK_MAY_DIFFER_S, "exp": now + LIFE_S, "iss": str(self.names.app_id)}
        return await self._send(self._wire, method, path, jwt.encode({"alg": "RS256"}, claims, self._key), body)

    async def token(self, installation: int, full_name: str, permissions: Mapping[str, str]) -> "Acting":
        """Make a token for one repository, with no more than these permissions. It ends within the hour by itself."""
        asked: JsonValue = {"repositories": [full_name.rpartition("/")[2]], "permissions": dict(permissions)}
        answer = await self.as_app("POST", f"/app/installations/{installation}/access_tokens", asked)
        return Acting(self, full_name, read(_Token, answer).token)

    async def person_token(self, code: str, redirect_uri: str) -> str:
        """What a person's visit to GitHub gives us for a moment. Raises RefusedThere for a code that is not good."""
        asked: JsonValue = {
            "client_id": self.names.client_id,
            "client_secret": self._client_secret,
            "code": code,
            "redirect_uri": redirect_uri,
        }
        answer = await self._web.send("POST", "/login/oauth/access_token", {}, asked)
        found = answer.json()
        token = found.get("access_token") if isinstance(found, dict) else None
        if not isinstance(token, str):
            raise RefusedThere("GitHub did not take the code.")
        return token

    async def send(self, token: str, method: str, path: str, body: JsonValue = None) -> Answer:
        """Ask with a token."""
        return await self._send(self._wire, method, path, token, body)

    async def close(self) -> None:
        """Give the connections back."""
        await self._wire.close()
        await self._web.close()

    async def _send(self, wire: Wire, method: str, path: str, token: str, body: JsonValue) -> Answer:
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/vnd.github+json",
            "x-github-api-version": VERSION,
        }
        return await wire.send(method, path, headers, body)


class Acting:
    """An installation at work in one repository, for one act. `password` is for git, and for nothing that lasts."""

    def __init__(self, github: GitHub, full_name: str, token: str) -> None:
        self._github = github
        self._full_name = full_name
        self.password = token

    async def ask(self, method: str, path: str, body: JsonValue = None) -> Answer:
        """Ask about the repository; `path` begins behind /repos/OWNER/NAME."""
        owner, _, name = self._full_name.partition("/")
        return await self._github.send(self.password, method, f"/repos/{quote(owner)}/{quote(name)}{path}", body)


class _Token(BaseModel):
    token: str


def read(kind: type[T], answer: Answer) -> T:
    """The part of an answer that we use. Raises Silent when it is not there."""
    try:
        return TypeAdapter(kind).validate_json(answer.body)
    except ValidationError as error:
        raise Silent("The answer was not what GitHub documents.") from error
