"""Task history: kept while it is on, found again, deleted for good, and nobody else's."""

import httpx
import orjson
import pytest

from pouch.base.ids import show_id
from pouch.roo.tasks import forget_old_tasks
from roo.extension import Browser, Extension, Telling, signed_in
from roo.test_settings import harbor
from routes.stage import Somebody, Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]
ASKED = "Paint the boathouse in cobalt"
NOON = 1_795_780_800_000


@pytest.fixture
async def telling(browser: Browser, extension: Extension) -> Telling:
    return Telling(await signed_in(browser, extension))


async def tell_a_task(telling: Telling, asked: str = ASKED) -> None:
    for answer in (
        await telling.event("Task Created"),
        await telling.say(NOON, asked),
        await telling.say(NOON + 1, '{"request":"…"}', about="api_req_started"),
        await telling.completion(1200, 80, 0.0042),
        await telling.say(NOON + 2, "I took a brush.", partial=True),
        await telling.say(NOON + 2, "I took a brush and cobalt paint."),
        await telling.event("Tool Used", tool="write_to_file"),
        await telling.say(NOON + 3, "The boathouse is painted.", about="completion_result"),
        await telling.event("Task Completed"),
    ):
        assert answer.status_code == 200, answer.text


def main_of(page: httpx.Response) -> str:
    """Of a page what is about its subject."""
    return page.text.partition("<main")[2].partition("</main>")[0]


async def address_of(browser: Browser, telling: Telling) -> str:
    answer = await browser.get(f"/task/{telling.task_id}")
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


async def test_a_task_is_kept_and_read_and_found_by_its_words(browser: Browser, telling: Telling) -> None:
    await tell_a_task(telling)
    page = await browser.get(await address_of(browser, telling))
    for words in (ASKED, "cobalt paint.", "The boathouse is painted.", "1,200", "$0.0042", "Completed", "pouch/free"):
        assert words in page.text
    assert '{"request"' not in page.text
    listed = await browser.get("/tasks")
    assert ASKED in listed.text
    assert ASKED in (await browser.get("/tasks?q=brush+cobalt")).text
    nothing = await browser.get("/tasks?q=submarine")
    assert ASKED not in nothing.text
    assert "No task has these words" in nothing.text


async def test_what_comes_twice_and_late_changes_nothing(browser: Browser, telling: Telling) -> None:
    """The retry queue sends again what was answered and not heard."""
    await tell_a_task(telling)
    page = await browser.get(await address_of(browser, telling))
    await tell_a_task(telling)
    late = await telling.say(NOON + 2, "I took", partial=True)
    assert late.status_code == 200
    again = await browser.get(await address_of(browser, telling))
    assert main_of(again) == main_of(page)


async def test_a_newer_text_of_a_message_replaces_it(browser: Browser, telling: Telling) -> None:
    await telling.say(NOON, "Paint it red")
    await telling.say(NOON, "Paint it green")
    page = await browser.get(await address_of(browser, telling))
    assert "Paint it green" in page.text
    assert page.text.count("conversation__line--person") == 1


async def test_switched_off_nothing_is_kept(browser: Browser, telling: Telling) -> None:
    """The editor stops sending messages by itself; what it sends all the same is not kept."""
    await telling.extension.change({"taskSyncEnabled": False})
    await tell_a_task(telling)
    assert (await browser.get(f"/task/{telling.task_id}")).status_code == 404
    assert ASKED not in (await browser.get("/tasks")).text


async def test_an_organization_keeps_tasks_only_when_its_owners_want_it(
    stage: Stage, browser: Browser, telling: Telling, alice: Somebody
) -> None:
    organization = await harbor(stage, alice)
    telling.extension.organization_id = show_id("org", organization.id)
    await telling.extension.refresh()
    await tell_a_task(telling)
    assert (await browser.get(f"/task/{telling.task_id}")).status_code == 404
    page = f"/organizations/{show_id('org', organization.id)}/editors"
    await browser.post(page, {"records_tasks": "on", "allows_all": "on", "share_days": "30"})
    await tell_a_task(telling)
    assert (await browser.get(f"/task/{telling.task_id}")).status_code == 303


async def test_carol_reads_nothing_of_alices_and_bob_only_what_the_owners_let_him(
    stage: Stage, browser: Browser, telling: Telling, alice: Somebody
) -> None:
    bob, carol = await stage.somebody(), await stage.somebody(operator=True)
    organization = await harbor(stage, alice, bob)
    page = f"/organizations/{show_id('org', organization.id)}/editors"
    on = {"records_tasks": "on", "allows_all": "on", "share_days": "30"}
    await browser.post(page, on)
    await tell_a_task(telling, "Something of Alice's own")
    own = await address_of(browser, telling)
    telling.extension.organization_id = show_id("org", organization.id)
    await telling.extension.refresh()
    shared = Telling(telling.extension)
    await tell_a_task(shared, "Something for the harbor")
    common = await address_of(browser, shared)

    async def reads(who: Somebody) -> list[object]:
        async with stage.client() as client:
            other = Browser(client, stage, who)
            opened = [(await other.get(each)).status_code for each in (own, common)]
            deleted = [(await other.post(f"{each}/delete")).status_code for each in (own, common)]
            listed = (await other.get("/tasks?q=Something")).text
            by_name = (await other.get(f"/task/{shared.task_id}")).status_code
            return [*opened, *deleted, by_name, "own" in listed, "Something for the harbor" in listed]

    assert await reads(bob) == [404, 404, 404, 404, 404, False, False]
    await browser.post(page, on | {"members_see_tasks": "on"})
    assert await reads(bob) == [404, 200, 404, 404, 404, False, True]
    assert await reads(carol) == [404, 404, 404, 404, 404, False, False]
    assert (await browser.get(own)).status_code == 200


async def test_a_person_is_told_where_members_see_what_they_do(
    stage: Stage, browser: Browser, telling: Telling, alice: Somebody
) -> None:
    """On the way in, in the list and on the task: a page never says that only they see it when others do."""
    organization = await harbor(stage, alice)
    page = f"/organizations/{show_id('org', organization.id)}/editors"
    on = {"records_tasks": "on", "allows_all": "on", "share_days": "30"}
    await browser.post(page, on)
    telling.extension.organization_id = show_id("org", organization.id)
    await telling.extension.refresh()
    await tell_a_task(telling)
    task = await address_of(browser, telling)

    async def told() -> list[bool]:
        way_in, listed, shown = [
            main_of(await browser.get(each)) for each in (Extension(telling.extension.http).page(), "/tasks", task)
        ]
        return [
            "Its members see the tasks that you do for it." in way_in,
            "is seen by all their members: Harbor." in listed,
            "All members of Harbor see this task" in shown,
            "Only you see it" not in listed,
            "Nobody else can see this task" not in shown,
        ]

    assert await told() == [False] * 5
    await browser.post(page, on | {"members_see_tasks": "on"})
    assert await told() == [True] * 5
    # Nothing more is kept, and what was is still seen.
    await browser.post(page, {"members_see_tasks": "on", "allows_all": "on", "share_days": "30"})
    assert await told() == [True] * 5


async def test_a_deleted_task_is_gone_and_its_editor_does_not_bring_it_back(
    stage: Stage, browser: Browser, telling: Telling
) -> None:
    await tell_a_task(telling)
    link = (await telling.share()).json()["shareUrl"]
    page = await address_of(browser, telling)
    assert (await browser.get(f"{page}/delete")).status_code == 200
    assert (await browser.post(f"{page}/delete")).status_code == 303
    assert (await browser.get(page)).status_code == 404
    assert (await browser.get(link)).status_code == 404
    await telling.say(NOON + 9, "And now the roof")
    assert (await browser.get(page)).status_code == 404
    async with stage.database.transaction() as db:
        rows = await db.execute(
            "SELECT count(*) FROM roo_messages m JOIN roo_tasks t ON t.id = m.task_id WHERE t.client_task_id = %s",
            (telling.task_id,),
        )
        assert await rows.fetchone() == (0,)
    assert (await telling.share()).status_code == 404
    assert (await telling.backfill([{"ts": NOON, "type": "say", "say": "text", "text": ASKED}])).status_code == 200
    assert (await telling.share()).json()["success"] is True


async def test_all_tasks_are_deleted_at_once(browser: Browser, telling: Telling) -> None:
    await tell_a_task(telling)
    assert (await browser.get("/tasks/delete")).status_code == 200
    assert (await browser.post("/tasks/delete")).status_code == 303
    assert ASKED not in (await browser.get("/tasks")).text


async def test_tasks_are_forgotten_when_they_are_as_old_as_their_person_wants(
    stage: Stage, browser: Browser, telling: Telling
) -> None:
    await tell_a_task(telling)
    page = await address_of(browser, telling)
    await browser.post("/tasks/settings", {"keeps_tasks": "on", "keep_days": "7"})

    async def after(days: int) -> int:
        async with stage.database.transaction() as db:
            await db.execute(
                "UPDATE roo_tasks SET updated_at = now() - make_interval(days => %s) WHERE client_task_id = %s",
                (days, telling.task_id),
            )
            await forget_old_tasks(db)
        return (await browser.get(page)).status_code

    assert await after(6) == 200
    await browser.post("/tasks/settings", {"keeps_tasks": "on", "keep_days": ""})
    assert await after(3000) == 200
    await browser.post("/tasks/settings", {"keeps_tasks": "on", "keep_days": "7"})
    assert await after(8) == 404


async def test_what_is_kept_is_in_the_download_and_goes_with_the_account(
    stage: Stage, browser: Browser, telling: Telling, alice: Somebody
) -> None:
    await tell_a_task(telling)
    exported = orjson.loads((await browser.get("/settings/export")).content)
    texts = [message["text"] for task in exported["tasks"] for message in task["messages"]]
    assert ASKED in texts
    deleted = await browser.post("/settings/delete", {"email": alice.email})
    assert deleted.headers["location"] == "/deleted"
    async with stage.database.transaction() as db:
        rows = await db.execute("SELECT count(*) FROM roo_tasks WHERE person_id = %s", (alice.person.id,))
        assert await rows.fetchone() == (0,)
        # The card processor is told, too: its part is tested beside `payments.farewells`.
        rows = await db.execute("SELECT state FROM payment_closings WHERE id = %s", (alice.person.organization_id,))
        assert await rows.fetchone() == ("closing",)
    assert (await telling.extension.balance()).status_code == 401


async def test_a_picture_and_what_no_page_can_show_are_left_out(browser: Browser, telling: Telling) -> None:
    message = {"ts": NOON, "type": "ask", "ask": "followup", "text": "Blue\x00 or \x1b[31mred?", "images": ["data:x"]}
    assert (await telling.event("Task Message", message=message)).status_code == 200
    page = await browser.get(await address_of(browser, telling))
    assert "Blue or [31mred?" in page.text
    assert "A picture, which is not kept" in page.text
    assert "data:x" not in page.text


async def test_half_an_emoji_where_output_was_cut_does_not_lose_the_message(browser: Browser, telling: Telling) -> None:
    """JSON.stringify writes such a half as an escape; whole ones, and backslashes that only look like it, stay."""
    text = r"cut \ud83d, C:\\udir, whole \ud83d\ude00, low \uDE00, last \ud83d"
    line = f'"ts": {NOON}, "type": "say", "say": "text", "text": "{text}"'
    event = f'{{"type": "Task Message", "properties": {{"taskId": "{telling.task_id}", "message": {{{line}}}}}}}'
    assert (await telling.post("/api/events", content=event.encode())).status_code == 200
    page = await browser.get(await address_of(browser, telling))
    shown = "cut \ufffd, C:\\udir, whole \U0001f600, low \ufffd, last \ufffd"
    assert shown in page.text

    whole = Telling(telling.extension)
    parts: dict[str, tuple[str | None, bytes, str | None]] = {
        "taskId": (None, whole.task_id.encode(), None),
        "properties": (None, b"{}", None),
        "file": ("task.json", f"[{{{line}}}]".encode(), "application/json"),
    }
    headers = {"authorization": f"Bearer {telling.extension.jwt}"}
    sent = await telling.extension.http.post("/api/events/backfill", headers=headers, files=parts)
    assert sent.status_code == 200, sent.text
    assert shown in (await browser.get(await address_of(browser, whole))).text


async def test_markup_in_a_message_is_shown_and_not_obeyed(browser: Browser, telling: Telling) -> None:
    await telling.say(NOON, "<script>alert(1)</script><img src=x onerror=alert(1)>")
    page = await browser.get(await address_of(browser, telling))
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


async def test_what_was_asked_is_nowhere_but_in_the_history(stage: Stage, telling: Telling) -> None:
    canary = "zebra-canary-7391"
    await tell_a_task(telling, f"{canary} please")
    await telling.extension.chat(text=canary)
    async with stage.database.transaction() as db:
        rows = await db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        holding = []
        for (table,) in await rows.fetchall():
            found = await db.execute(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%{canary}%'".encode())
            row = await found.fetchone()
            if row and row[0]:
                holding.append(table)
    assert holding == ["roo_messages", "roo_tasks"]
