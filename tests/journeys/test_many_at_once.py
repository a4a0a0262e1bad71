"""Three hundred calls at once on an account that affords a hundred, over real connections."""

import asyncio
import json
from collections import Counter
from decimal import Decimal

import httpx
import pytest

from journeys.clients import INPUT_USD, OUTPUT_USD
from support.pouch import Funds, RunningPouch

pytestmark = pytest.mark.anyio

CALLS, AFFORDED = 300, 100
WORDS = 20
COST = WORDS * (INPUT_USD + OUTPUT_USD)
TEXT = " ".join("a" * WORDS)
"""Words of one letter: the bytes that bound the input are as few as words can have."""


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
async def test_three_hundred_calls_share_what_pays_for_a_hundred(pouch: RunningPouch, is_stream: bool) -> None:
    """Ninety or more are answered in full, never more than a hundred; the rest is told why. Nothing stays held.

    The last few nano-dollars buy nothing: a call is admitted only when its worst case fits, and that is more than it
    costs.
    """
    email = f"crowd-{'stream' if is_stream else 'whole'}@example.com"
    granted = COST * AFFORDED
    key = pouch.add_person(email, usd=str(granted))
    body = {"model": "pouch/paid", "messages": [{"role": "user", "content": TEXT}], "max_tokens": WORDS}
    answers = await post_at_once(pouch, key, body | {"stream": is_stream})

    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {200, 402}, statuses
    assert 0.9 * AFFORDED <= statuses[200] <= AFFORDED
    costs = [cost_of_a_full_answer(answer, is_stream=is_stream) for answer in answers if answer.status_code == 200]
    assert set(costs) == {COST}
    for refusal in (answer.json()["error"] for answer in answers if answer.status_code == 402):
        assert refusal["type"] == "insufficient_credits"
        assert refusal["metadata"]["limit_source"] == "credits"
    assert pouch.settled_balance(email) == Funds(granted - sum(costs))
    pouch.does("ledger", "check")


async def post_at_once(pouch: RunningPouch, key: str, body: dict[str, object]) -> list[httpx.Response]:
    """All calls together, each over a connection of its own."""
    limits = httpx.Limits(max_connections=CALLS, max_keepalive_connections=0)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(limits=limits, headers=headers, timeout=120, trust_env=False) as client:
        url = f"{pouch.url}/v1/chat/completions"
        return await asyncio.gather(*(client.post(url, json=body) for _ in range(CALLS)))


def cost_of_a_full_answer(answer: httpx.Response, *, is_stream: bool) -> Decimal:
    """What a call cost, once it is sure that nothing of its answer is missing."""
    if is_stream:
        lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
        assert lines.pop() == "[DONE]"
        chunks = [json.loads(line, parse_float=Decimal) for line in lines]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        usage = chunks[-1]["usage"]
    else:
        document = json.loads(answer.text, parse_float=Decimal)
        text, usage = document["choices"][0]["message"]["content"], document["usage"]
    assert text == TEXT
    cost = usage["cost"]
    assert isinstance(cost, Decimal)
    return cost
