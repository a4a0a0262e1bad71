"""What is wrong is refused with a sentence: whatever comes, nothing breaks."""

from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pouch.roo.limits import PERSON_BYTES_MAX, TASKS_MAX
from roo.extension import Browser, Extension, Telling, signed_in
from routes.stage import Somebody, Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=8,
)
PROPERTIES = st.fixed_dictionaries(
    {"taskId": st.sampled_from(["t1", "t2"]) | JSON},
    optional={
        "mode": JSON,
        "modelId": JSON,
        "inputTokens": JSON,
        "outputTokens": JSON,
        "cost": JSON,
        "repositoryName": JSON,
        "message": JSON
        | st.fixed_dictionaries(
            {"ts": st.integers(1, 2**50) | JSON, "type": st.sampled_from(["say", "ask"]) | JSON},
            optional={"say": JSON, "ask": JSON, "text": st.text() | JSON, "images": JSON, "partial": JSON},
        ),
    },
)
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Task Message", "LLM Completion", "Task Created", "Task Completed"]) | JSON,
        "properties": PROPERTIES | JSON,
    }
)
FINE = {200, 400, 404, 409, 413, 429}


@pytest.fixture
async def telling(browser: Browser, extension: Extension) -> Telling:
    return Telling(await signed_in(browser, extension))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(document=EVENTS | JSON)
async def test_whatever_an_editor_tells_is_taken_or_refused(telling: Telling, document: object) -> None:
    try:
        body = orjson.dumps(document)
    except (orjson.JSONEncodeError, TypeError):
        return
    answer = await telling.post("/api/events", content=body)
    assert answer.status_code in FINE, answer.text


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    document=JSON
    | st.fixed_dictionaries({}, optional={"settings": JSON, "version": JSON, "taskId": JSON, "visibility": JSON})
)
async def test_whatever_is_asked_is_answered_or_refused(telling: Telling, document: object) -> None:
    try:
        body = orjson.dumps(document)
    except (orjson.JSONEncodeError, TypeError):
        return
    http, headers = telling.extension.http, telling.extension.as_session()
    for method, path in (("PATCH", "/api/user-settings"), ("POST", "/api/extension/share")):
        answer = await http.request(method, path, headers=headers, content=body)
        assert answer.status_code in FINE, answer.text


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"{}", b'{"type":1}', b"\xff\xfe", b'{"type":"x","properties":"y"}', b"null", b'"' * 9],
)
async def test_what_is_no_event_is_refused(telling: Telling, body: bytes) -> None:
    assert (await telling.post("/api/events", content=body)).status_code == 400


@pytest.mark.parametrize(
    "properties",
    [
        {"message": None},
        {"message": {"ts": 1}},
        {"message": {"ts": "1", "type": "say"}},
        {"message": {"ts": True, "type": "say"}},
        {"message": {"ts": 0, "type": "say"}},
        {"message": {"ts": 2**63, "type": "say"}},
        {"message": {"ts": 1.5, "type": "say"}},
        {"message": {"ts": 1, "type": "shout"}},
        {"message": {"ts": 1, "type": ["say"]}},
        {"message": {"ts": 1, "type": "say", "text": 5}},
        {"message": {"ts": 1, "type": "say", "images": "x"}},
        {"message": {"ts": 1, "type": "say", "partial": "no"}},
        {"message": {"ts": 1, "type": "say", "say": 5}},
    ],
    ids=range(13),
)
async def test_what_is_no_message_is_refused(telling: Telling, properties: dict[str, object]) -> None:
    answer = await telling.event("Task Message", **properties)
    assert answer.status_code == 400
    assert answer.json()["field"].startswith(("message", "say"))


async def test_a_cost_that_cannot_be_is_refused(telling: Telling) -> None:
    for cost in ("0.1", -1, 1e9, True, [1]):
        answer = await telling.event("LLM Completion", inputTokens=1, outputTokens=1, cost=cost)
        assert answer.status_code == 400, cost
    for tokens in (-1, "5", 2**63, True):
        assert (await telling.event("LLM Completion", inputTokens=tokens)).status_code == 400, tokens
    assert (await telling.event("LLM Completion", inputTokens=5, cost=1e-12)).status_code == 200


async def test_a_task_that_is_sent_whole_must_be_whole(telling: Telling) -> None:
    http = telling.extension.http
    headers = {"authorization": f"Bearer {telling.extension.jwt}"}
    good: dict[str, Any] = {
        "taskId": (None, "t"),
        "properties": (None, "{}"),
        "file": ("task.json", b"[]", "application/json"),
    }
    assert (await http.post("/api/events/backfill", headers=headers, files=good)).status_code == 200
    wrong: list[dict[str, Any]] = [{name: part for name, part in good.items() if name != left_out} for left_out in good]
    wrong += [
        good | {"properties": (None, "[]")},
        good | {"properties": (None, "{")},
        good | {"taskId": (None, "x" * 200)},
        good | {"file": ("task.json", b"{}", "application/json")},
        good | {"file": ("task.json", b"[1]", "application/json")},
        good | {"file": ("task.json", b"\xff", "application/json")},
        good | {"file": (None, "[]")},
        good | {"more": ("x.json", b"[]", "application/json")},
    ]
    for parts in wrong:
        answer = await http.post("/api/events/backfill", headers=headers, files=parts)
        assert answer.status_code == 400, (parts, answer.text)
    for kind, body in (
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b"nonsense"),
        ("multipart/form-data; boundary=x", b'--x\r\ncontent-disposition: form-data; name="taskId"\r\n\r\nhalf'),
    ):
        answer = await http.post("/api/events/backfill", headers=headers | {"content-type": kind}, content=body)
        assert answer.status_code == 400, (kind, answer.text)


async def test_too_much_is_refused_before_it_is_kept(telling: Telling) -> None:
    message = {"ts": 1, "type": "say", "say": "text", "text": "x" * (9 * 1024 * 1024)}
    assert (await telling.event("Task Message", message=message)).status_code == 413
    whole = [{"ts": n + 1, "type": "say", "say": "text", "text": ""} for n in range(20_001)]
    assert (await telling.backfill(whole)).status_code == 413
    assert (await telling.backfill(whole[:20_000])).status_code == 200
    assert (await telling.say(50_000, "one more")).status_code == 413


async def test_a_full_history_takes_nothing_more_in_whatever_piece(
    stage: Stage, telling: Telling, alice: Somebody
) -> None:
    """Tasks that were there before it was full grow no more, either; what makes one smaller is taken."""
    small, large = Telling(telling.extension), Telling(telling.extension)
    for each in (small, large):
        assert (await each.say(1, "A line that was there before.")).status_code == 200
    async with stage.database.transaction() as db:
        await db.execute(
            """
            UPDATE roo_tasks
               SET size_bytes = size_bytes + %s - (SELECT sum(size_bytes) FROM roo_tasks WHERE person_id = %s)
             WHERE client_task_id = %s
            """,
            (PERSON_BYTES_MAX, alice.person.id, large.task_id),
        )
    message = {"ts": 2, "type": "say", "say": "text", "text": ""}
    for more in (
        small.say(2, "One more."),
        small.backfill([message]),
        small.completion(1, 1, 0.1),
        Telling(small.extension).backfill([message]),
    ):
        answer = await more
        assert answer.status_code == 413, answer.text
        assert answer.json()["detail"].startswith("Your task history is full.")
    assert (await small.say(1, "Shorter.")).status_code == 200
    assert (await small.say(2, "")).status_code == 413


async def test_too_many_tasks_fill_a_history_also_when_they_are_empty(
    stage: Stage, telling: Telling, alice: Somebody
) -> None:
    async with stage.database.transaction() as db:
        await db.execute(
            """
            INSERT INTO roo_tasks (id, person_id, organization_id, client_task_id)
            SELECT gen_random_uuid(), %s, %s, 'n' || n FROM generate_series(1, %s) AS n
            """,
            (alice.person.id, alice.person.organization_id, TASKS_MAX),
        )
    assert (await telling.event("Task Created")).status_code == 413


async def test_too_many_events_wait(http: httpx.AsyncClient, alice: Somebody) -> None:
    """The editor's queue stops for as long as it is told."""
    headers = {"authorization": f"Bearer {alice.opens['token']}"}
    statuses = set()
    for _ in range(1201):
        answer = await http.post("/api/events", headers=headers, content=b"{}")
        statuses.add(answer.status_code)
    assert statuses == {400, 429}
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/v1/client/sessions/%00/tokens",
        "/v1/client/sessions/..%2f../remove",
        "/v1/client/sessions/dev_x/tokens",
        "/v1/client/nothing",
        "/v1/me/nothing",
        "/trpc/",
        "/trpc/%00",
        "/api/extension/nothing",
        "/api/marketplace/nothing",
        "/shared/%00",
        "/task/%00",
        "/l/supernova",
    ],
)
async def test_no_address_breaks(http: httpx.AsyncClient, alice: Somebody, path: str) -> None:
    headers = {"authorization": f"Bearer {alice.opens['client']}"}
    for method in ("GET", "POST", "PATCH", "DELETE"):
        answer = await http.request(method, path, headers=headers)
        assert 300 <= answer.status_code < 500, (method, path)
