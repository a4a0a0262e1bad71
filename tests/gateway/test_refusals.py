"""What a caller is told when a call is not answered, and that it costs nothing."""

import asyncio
from typing import Any

import httpx
import pytest

from pouch.base.money import ZERO, Money
from pouch.identity.keys import add_key, revoke_key
from pouch.ledger.limits import set_limit
from support.gateway import Gateway, running_gateway
from support.upstream import Exchange, completion, usage

pytestmark = pytest.mark.anyio


async def ask(gateway: Gateway, content: bytes, **headers: str) -> httpx.Response:
    given = {"authorization": f"Bearer {gateway.secret}"} | headers
    return await gateway.client.post(f"{gateway.url}/v1/chat/completions", content=content, headers=given)


@pytest.mark.parametrize("given", [None, "Bearer unauthenticated", "Bearer sk-pouch-wrong", "Basic abc", "Bearer"])
async def test_no_live_key_is_a_401(gateway: Gateway, given: str | None) -> None:
    headers = {"authorization": given} if given else {}
    answer = await gateway.client.post(f"{gateway.url}/v1/chat/completions", json={}, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert answer.headers["x-should-retry"] == "false"


async def test_a_revoked_key_is_refused_at_once_though_it_is_remembered(gateway: Gateway) -> None:
    """Another process revoked it: this one's key ring still knows it, the ledger does not."""
    assert (await gateway.call()).status_code == 200
    async with gateway.database.transaction() as db:
        await revoke_key(db, gateway.alice.organization_id, gateway.key.id)
    for model in ("up/paid", "up/free"):
        answer = await gateway.call(model=model)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_a_key_without_the_scope_may_not_call(gateway: Gateway) -> None:
    async with gateway.database.transaction() as db:
        _, secret = await add_key(db, gateway.alice, "billing", scopes=("billing:read",))
    answer = await gateway.call(headers={"authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")


async def test_an_unknown_model_is_a_404(gateway: Gateway) -> None:
    answer = await gateway.call(model="up/none")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


GOOD: dict[str, Any] = {"model": "up/paid", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": "many"}, "max_completion_tokens"),
        ({"n": 1000}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "stream_options": 5}, "stream_options"),
        ({"service_tier": "priority"}, "service_tier"),
    ],
)
async def test_a_request_that_cannot_be_understood_names_the_field(
    gateway: Gateway, change: dict[str, Any], param: str
) -> None:
    answer = await gateway.call(**(GOOD | change))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert gateway.upstream.seen == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 2000])
async def test_a_body_that_is_no_json_object_is_a_400(gateway: Gateway, content: bytes) -> None:
    answer = await ask(gateway, content)
    assert answer.status_code == 400


async def test_a_compressed_body_is_not_read(gateway: Gateway) -> None:
    answer = await ask(gateway, b"\x1f\x8b", **{"content-encoding": "gzip"})
    assert answer.status_code == 415


async def test_without_credits_the_402_says_what_is_needed_and_where_to_buy(database_url: str) -> None:
    async with running_gateway(database_url, credits_usd="0") as gateway:
        answer = await gateway.call(max_tokens=100)
        assert answer.status_code == 402
        error = answer.json()["error"]
        assert (error["code"], error["type"]) == (402, "insufficient_credits")
        metadata = error["metadata"]
        assert metadata["limit_source"] == "credits"
        assert metadata["available_usd"] == "0.000000000"
        assert Money.parse(metadata["required_usd"]) > Money(100 * 2000)
        assert metadata["affordable_tokens"] == 0
        assert metadata["topup_url"] == "https://pouch.example/billing"
        assert "https://pouch.example/billing" in error["message"]
        assert answer.headers["x-should-retry"] == "false"
        assert "retry-after" not in answer.headers
        assert (await gateway.call(model="up/free")).status_code == 200
        assert [call.model_id for call in await gateway.calls()] in (["up/free"], [])


async def test_affordable_tokens_are_affordable(database_url: str) -> None:
    """A 402 that names a number of tokens is true: the call with that many is admitted."""
    async with running_gateway(database_url, credits_usd="0.0005") as gateway:
        refused = await gateway.call(max_tokens=4000)
        tokens = refused.json()["error"]["metadata"]["affordable_tokens"]
        assert 0 < tokens < 4000
        assert (await gateway.call(max_tokens=tokens + 1)).status_code == 402
        assert (await gateway.call(max_tokens=tokens)).status_code == 200


async def test_a_keys_limit_names_itself(gateway: Gateway) -> None:
    async with gateway.database.transaction() as db:
        await set_limit(db, gateway.key.id, kind="key", cap=Money.parse("0.0001"))
    answer = await gateway.call(max_tokens=4000)
    assert answer.status_code == 402
    assert answer.json()["error"]["metadata"]["limit_source"] == "key_limit"


async def test_a_hold_in_the_way_is_waited_for(database_url: str) -> None:
    """Two calls, credits for one at a time: both are answered, one after the other."""
    async with running_gateway(database_url, credits_usd="0.0003") as gateway:
        arrived, may_end = asyncio.Event(), asyncio.Event()

        async def script(exchange: Exchange) -> None:
            arrived.set()
            await may_end.wait()
            await exchange.answer(completion("x", usage(5, 5)))

        gateway.upstream.script = script
        first = asyncio.create_task(gateway.call(max_tokens=100))
        await arrived.wait()
        second = asyncio.create_task(gateway.call(max_tokens=100))
        async with asyncio.timeout(10):
            while not gateway.writer.in_line:
                await asyncio.sleep(0.01)
        may_end.set()
        assert (await first).status_code == (await second).status_code == 200
        assert (await gateway.at_rest()).posted == Money.parse("0.0003") - Money(2 * 15_000)


async def test_free_models_answer_twenty_calls_a_minute(gateway: Gateway) -> None:
    answers = await asyncio.gather(*(gateway.call(model="up/free") for _ in range(25)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * 20 + [429] * 5
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "free_model_limit"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (await gateway.call(model="up/paid")).status_code == 200


@pytest.mark.parametrize(
    ("upstream_status", "status", "code"),
    [
        (400, 400, None),
        (422, 400, None),
        (401, 502, "upstream_failed"),
        (404, 502, "upstream_failed"),
        (429, 503, "upstream_busy"),
        (500, 502, "upstream_failed"),
        (503, 503, "upstream_busy"),
        (529, 503, "upstream_busy"),
        (302, 502, "upstream_failed"),
    ],
)
async def test_an_upstream_that_refuses_costs_nothing(
    gateway: Gateway, upstream_status: int, status: int, code: str | None
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(
            {"error": {"message": "sk-upstream-secret is wrong"}}, upstream_status, "retry-after: 7\r\n"
        )

    gateway.upstream.script = script
    answer = await gateway.call()
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    if status != 400:
        assert "secret" not in answer.text
    if code == "upstream_busy":
        assert answer.headers["retry-after"] == "7"
    has = await gateway.at_rest()
    assert (has.posted, has.held) == (Money.parse("10"), ZERO)
    (call,) = await gateway.calls()
    assert (call.outcome, call.charged_nanos) == ("failed", 0)


async def test_an_upstream_that_is_not_there_is_a_502(gateway: Gateway) -> None:
    gateway.catalog.find("up/paid")
    async with gateway.database.transaction() as db:
        await db.execute("UPDATE catalog_upstreams SET base_url = 'http://127.0.0.1:9/v1'")
        await db.execute("INSERT INTO catalog_versions (changes) VALUES ('{moved}')")
    await gateway.catalog.load()
    answer = await gateway.call()
    assert answer.status_code == 502
    assert (await gateway.at_rest()).posted == Money.parse("10")
