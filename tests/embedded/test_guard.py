"""The embedded far ends answer this machine only."""

import httpx
import pytest
from starlette.responses import PlainTextResponse

from pouch.embedded.guard import LoopbackOnly
from pouch.settings import Settings

pytestmark = pytest.mark.anyio


async def status(settings: Settings, headers: dict[str, str]) -> int:
    app = LoopbackOnly(PlainTextResponse("play money"), settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://placeholder") as client:
        return (await client.get("/embedded/cards", headers=headers)).status_code


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "localhost", "[::1]:8080", "pouch.localhost"])
async def test_this_machine_is_answered(host: str) -> None:
    assert await status(Settings(config=""), {"Host": host}) == 200


@pytest.mark.parametrize("host", ["pouch.example", "10.0.0.7:8080", "127.0.0.1.evil.example", "", "[2001:db8::1]:8080"])
async def test_another_host_name_finds_nothing(host: str) -> None:
    """DNS rebinding: a browser on this machine asks with somebody else's name."""
    assert await status(Settings(config=""), {"Host": host}) == 404


async def test_a_forwarded_request_finds_nothing() -> None:
    assert await status(Settings(config=""), {"Host": "127.0.0.1:8080", "X-Forwarded-For": "203.0.113.9"}) == 404


@pytest.mark.parametrize("where", [{"host": "0.0.0.0"}, {"public_url": "https://pouch.example"}])
async def test_a_pouch_that_others_can_reach_has_no_embedded_ends(where: dict[str, str]) -> None:
    settings = Settings(config="").model_copy(update=where)
    assert await status(settings, {"Host": "127.0.0.1:8080"}) == 404
