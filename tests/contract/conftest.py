from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from contract import programs
from contract.bridge import EmulateBridge, LocalstripeBridge
from contract.ends import STRIPE_KEY, End, embedded, end_at, stripe
from contract.events import Events
from support.serving import serving

NOT_HERE = "only where the emulators can be installed: they come from the public package indexes, by their locks"


@pytest.fixture(scope="module")
def localstripe_url() -> Iterator[str]:
    """localstripe itself."""
    try:
        with programs.localstripe() as url:
            yield url
    except programs.CannotInstall:
        pytest.skip(NOT_HERE)


@pytest.fixture(scope="module")
def emulate_events() -> Iterator[Events]:
    """What emulate posts, as it comes. It waits for the answers, so these come from a thread of their own."""
    with Events() as events:
        yield events


@pytest.fixture(scope="module")
def emulate_url(emulate_events: Events) -> Iterator[str]:
    """emulate itself; where it posts its events is said when it starts."""
    try:
        with programs.emulate(emulate_events.url) as url:
            yield url
    except programs.CannotInstall:
        pytest.skip(NOT_HERE)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
async def localstripe(localstripe_url: str, client: httpx.AsyncClient) -> AsyncIterator[tuple[LocalstripeBridge, str]]:
    """localstripe with its bridge, and the bridge's address."""
    bridge = LocalstripeBridge(localstripe_url, client)
    async with serving(bridge.app) as url:
        yield bridge, url


@pytest.fixture
async def emulate(emulate_url: str, client: httpx.AsyncClient) -> AsyncIterator[tuple[EmulateBridge, str]]:
    """emulate with its bridge, and the bridge's address."""
    bridge = EmulateBridge(emulate_url, client)
    async with serving(bridge.app) as url:
        yield bridge, url


@pytest.fixture
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The name of a far end, and where it is: an address, or for ours its database."""
    match request.param:
        case "stripe":
            if not STRIPE_KEY:
                pytest.skip("only with POUCH_TEST_STRIPE_KEY, a key of Stripe's test mode")
            return "stripe", ""
        case "embedded":
            return "embedded", request.getfixturevalue("database_url")
        case emulator:
            return emulator, request.getfixturevalue(f"{emulator}_url")


@pytest.fixture
async def end(place: tuple[str, str]) -> AsyncIterator[End]:
    """That far end."""
    match place:
        case ("embedded", database_url):
            opening = embedded(database_url)
        case ("stripe", _):
            opening = stripe()
        case (name, url):
            opening = end_at(name, url)
    async with opening as found:
        yield found
