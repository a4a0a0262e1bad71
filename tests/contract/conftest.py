from collections.abc import AsyncIterator

import pytest

from contract.ends import EMULATORS, STRIPE_KEY, End, embedded, localstripe, stripe

WHOLE = ["embedded", "stripe"]


@pytest.fixture
async def end(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[End]:
    """The far end that the parameter names."""
    match request.param:
        case "embedded":
            async with embedded(database_url) as found:
                yield found
        case "stripe":
            if not STRIPE_KEY:
                pytest.skip("only with POUCH_TEST_STRIPE_KEY, a key of Stripe's test mode")
            async with stripe() as found:
                yield found
        case _:
            if not EMULATORS:
                pytest.skip("only with POUCH_TEST_EMULATORS=1, which installs localstripe into a throwaway environment")
            async with localstripe() as found:
                yield found
