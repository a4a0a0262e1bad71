"""The card processor is away: every page says so, nothing is sold, and credits go on working."""

import socket
from decimal import Decimal
from uuid import uuid4

import pytest

from journeys.buyer import buyer
from support.pouch import Funds, RunningPouch, until

pytestmark = pytest.mark.anyio

PATIENCE_S = 90
ALARM = "Cards cannot be charged right now. Your credits go on working."


async def test_spending_goes_on_while_the_card_processor_is_away() -> None:
    with socket.socket() as nobody:
        # Bound and not listening: whoever connects is refused.
        nobody.bind(("127.0.0.1", 0))
        toml = f'[payments]\nprocessor = "stripe"\nstripe_api_base = "http://127.0.0.1:{nobody.getsockname()[1]}"\n'
        secrets = {"POUCH_STRIPE_SECRET_KEY": "sk_test_nobody", "POUCH_STRIPE_WEBHOOK_SECRET": "whsec_nobody"}
        with RunningPouch(toml=toml, environment=secrets) as pouch:
            async with buyer(pouch, "alice@example.com") as alice:
                pouch.does("grant", alice.email, "1", "--key", "away", "--note", "Gift")
                secret = pouch.does("key", "add", alice.email, "Laptop").strip()
                pages = ("/billing", "/usage", "/")

                async def says_so() -> bool:
                    return ALARM in await alice.visit(pages[0])

                while not await says_so():
                    pass
                assert all([ALARM in await alice.visit(page) for page in pages])

                begun = await alice.client.post(
                    "/billing/purchases", data={"amount_usd": "10", "attempt": str(uuid4())}
                )
                assert begun.status_code == 303
                assert begun.headers["location"].startswith(f"{pouch.url}/billing/purchases/pur_")

                call = {"model": "pouch/paid", "messages": [{"role": "user", "content": "one two three"}]}
                headers = {"authorization": f"Bearer {secret}"}
                answer = await alice.client.post("/v1/chat/completions", json=call, headers=headers)
                assert answer.status_code == 200, answer.text
                assert Decimal(str(answer.json()["usage"]["cost"])) == Decimal("0.000009")
            until(
                lambda: pouch.balance("alice@example.com") == Funds(Decimal("0.999991000")),
                what="the charge",
                log=pouch.log,
            )
