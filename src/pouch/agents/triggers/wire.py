"""Requests to the far ends: one try each, within a time, without redirects."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import orjson
from pydantic import JsonValue
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from pouch.agents.triggers.types import RefusedThere, Silent
from pouch.settings import is_loopback_host

TIMEOUT_S = 10
CONNECTIONS_MAX = 16
_WAIT = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    link: str = ""
    """Where the list goes on, as GitHub says it."""

    def json(self) -> JsonValue:
        """The body, read. Raises Silent when it is not JSON: something else answered."""
        try:
            return orjson.loads(self.body or b"null")  # type: ignore[no-any-return]  # orjson says Any; JSON is what it is
        except orjson.JSONDecodeError:
            raise Silent("The answer was not JSON.") from None


class Wire:
    """The way to one server."""

    def __init__(self, base: str, *, certificates: bytes = b"") -> None:
        """`certificates`: a further one that is trusted, as PEM."""
        self.base = base.rstrip("/")
        self._certificates = certificates
        self._client: Client | None = None

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: JsonValue = None,
        *,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send once. Raises Silent when nothing came, or when it asks us to wait; RefusedThere for a no."""
        request = (
            self._opened()
            .request(method, f"{self.base}{path}")
            .headers({"user-agent": "pouch", "accept": "application/json", **headers})
        )
        if form is not None:
            kind = "application/x-www-form-urlencoded"
            request = request.header("content-type", kind).body_bytes(urlencode(form).encode())
        elif body is not None:
            request = request.header("content-type", "application/json").body_bytes(orjson.dumps(body))
        try:
            response = await request.build().send()
            status, content = response.status, bytes(await response.bytes())
            limited = response.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in response.headers
            link = response.headers.get("link") or ""
        except (PyreqwestError, OSError) as error:
            raise Silent(f"{urlsplit(self.base).hostname} did not answer ({type(error).__name__}).") from error
        if status in _WAIT or (status == 403 and limited):
            raise Silent(f"It answered {status}.")
        if status >= 300:
            raise RefusedThere(f"It answered {status} to {method} {path.partition('?')[0]}.")
        return Answer(status, content, link)

    async def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _opened(self) -> Client:
        if self._client is None:
            builder = (
                ClientBuilder()
                .timeout(timedelta(seconds=TIMEOUT_S))
                .max_connections(CONNECTIONS_MAX)
                .pool_timeout(timedelta(seconds=TIMEOUT_S))
                .follow_redirects(False)
            )
            if self._certificates:
                builder = builder.add_root_certificate_pem(self._certificates)
            # A company's proxy cannot reach this machine's loopback.
            is_here = is_loopback_host(urlsplit(self.base).hostname or "")
            self._client = (builder.no_proxy() if is_here else builder).build()
        return self._client
