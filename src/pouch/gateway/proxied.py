"""Servers that run models behind the proxy which the environment names: reached with pyreqwest."""

from datetime import timedelta
from typing import Self
from urllib.request import getproxies, proxy_bypass

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, PyreqwestError, RequestTimeoutError
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from pouch.gateway.errors import UpstreamFailed, UpstreamSilent
from pouch.gateway.wires import CONNECT_TIMEOUT_S, CONNECTIONS_MAX, IDLE_MAX_S


def is_proxied(scheme: str, host: str) -> bool:
    """Whether the environment names a proxy for a server."""
    return scheme in getproxies() and not proxy_bypass(host)


class ProxiedClient:
    """Asks over the proxy. Opened when it is first needed."""

    def __init__(self, *, silence_max_s: float) -> None:
        self._silence_max_s = silence_max_s
        self._client: Client | None = None

    async def ask(self, url: str, headers: dict[str, str], body: bytes) -> "ProxiedAnswer":
        """Send a request and wait for the head of its answer. Raises UpstreamFailed and UpstreamSilent."""
        if self._client is None:
            self._client = await self._new().__aenter__()
        request = self._client.post(url).headers(headers).streamed_read_buffer_limit(0).body_bytes(body)
        return await ProxiedAnswer.of(request.build_streamed())

    async def close(self) -> None:
        """End every connection."""
        if self._client is not None:
            await self._client.__aexit__(None, None, None)

    def _new(self) -> Client:
        return (
            ClientBuilder()
            .tcp_nodelay(enabled=True)
            .http1_only()
            .follow_redirects(False)
            .max_connections(CONNECTIONS_MAX)
            .pool_idle_timeout(timedelta(seconds=IDLE_MAX_S))
            .pool_timeout(timedelta(seconds=CONNECT_TIMEOUT_S))
            .connect_timeout(timedelta(seconds=CONNECT_TIMEOUT_S))
            .read_timeout(timedelta(seconds=self._silence_max_s))
            .build()
        )


class ProxiedAnswer:
    """An answer that came over the proxy."""

    def __init__(self, request: StreamRequest, response: Response) -> None:
        self._request = request
        self._response = response

    @classmethod
    async def of(cls, request: StreamRequest) -> Self:
        """Wait for the head."""
        try:
            return cls(request, await request.__aenter__())
        except ConnectError:
            raise UpstreamFailed("The model's server cannot be reached.") from None
        except RequestTimeoutError:
            raise UpstreamSilent("The model's server did not answer in time.") from None
        except PyreqwestError:
            raise UpstreamFailed("The model's server broke off before it answered.") from None

    @property
    def status(self) -> int:
        """The answer's status."""
        return self._response.status

    def header(self, name: bytes) -> str | None:
        """A header of the answer."""
        return self._response.get_header(name.decode())

    async def read(self) -> bytes | None:
        """What has come of the body, as soon as something has; None at its end."""
        try:
            piece = await self._response.body_reader.read_chunk()
        except RequestTimeoutError:
            raise UpstreamSilent("The model's server fell silent in the middle of its answer.") from None
        except PyreqwestError:
            raise UpstreamFailed("The model's server broke off in the middle of its answer.") from None
        return None if piece is None else bytes(piece)

    async def leave(self, *, is_done: bool) -> None:
        """Give the connection back, or drop it when the answer was not read to its end."""
        del is_done
        await self._request.__aexit__(None, None, None)
