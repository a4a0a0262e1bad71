"""Our answers, and what our tests send, read by the schemas that the client uses (npm @roo-code/types)."""

import json
from pathlib import Path

import httpx
import pytest

from pouch.base.ids import show_id
from roo.extension import Browser, Extension, Telling, signed_in
from roo.test_settings import harbor
from roo.test_sharing import MESSAGES
from routes.stage import Somebody, Stage
from support.cards import uses_sdk
from support.node import NodeFolder

pytestmark = [pytest.mark.anyio, uses_sdk]


@pytest.fixture(scope="session")
def node() -> NodeFolder:
    folder = NodeFolder(Path(__file__).parent / "node")
    folder.install()
    return folder


async def test_the_clients_own_schemas_read_our_answers(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody, node: NodeFolder
) -> None:
    telling = Telling(await signed_in(browser, extension))
    await telling.say(1_795_780_800_000, "Hello")
    organization = await harbor(stage, alice)
    settings = await extension.settings()
    extension.organization_id = show_id("org", organization.id)
    await extension.refresh()
    page = f"/organizations/{extension.organization_id}/editors"
    form = {"records_tasks": "on", "shares_tasks": "on", "share_days": "7", "allowed": "roo\nanthropic: claude-x"}
    assert (await browser.post(page, form)).status_code == 303
    of_organization = await extension.settings()
    shared, refused = (await telling.share("organization")).json(), (await telling.share("public")).json()
    assert refused["success"] is False
    changed = (await extension.change({"taskSyncEnabled": False, "llmEnhancedFeaturesEnabled": True})).json()
    documents = [
        ("organizationSettingsSchema", settings["organization"]),
        ("organizationSettingsSchema", of_organization["organization"]),
        ("organizationAllowListSchema", of_organization["organization"]["allowList"]),
        ("organizationCloudSettingsSchema", of_organization["organization"]["cloudSettings"]),
        ("userSettingsDataSchema", settings["user"]),
        ("userSettingsDataSchema", changed),
        ("shareResponseSchema", shared),
        ("shareResponseSchema", refused),
    ]
    assert node.run("check.mjs", given=json.dumps(documents)) == [[]] * len(documents)


async def test_the_clients_own_schemas_read_the_list_of_models(
    http: httpx.AsyncClient, every_field: httpx.AsyncClient, node: NodeFolder
) -> None:
    """It refuses the whole list for one entry: that of a fresh Pouch, and one where each field is used."""
    fresh, full = [(await each.get("/proxy/v1/models")).json() for each in (http, every_field)]
    used = {field for entry in full["data"] for field in entry}
    assert used > {"tags", "deprecated", "default_temperature", "settings", "versionedSettings"}
    documents = [("RooModelsResponseSchema", each) for each in (fresh, full)]
    assert node.run("check.mjs", given=json.dumps(documents)) == [[], []]


async def test_a_wrong_answer_would_be_noticed(node: NodeFolder, http: httpx.AsyncClient) -> None:
    models = (await http.get("/proxy/v1/models")).json()
    documents = [
        ("userSettingsDataSchema", {"features": {}, "settings": {}}),
        ("shareResponseSchema", {"success": 1}),
        ("RooModelsResponseSchema", models | {"data": [models["data"][0] | {"max_tokens": None}]}),
    ]
    assert all(node.run("check.mjs", given=json.dumps(documents)))


async def test_the_events_of_our_tests_are_events_of_the_client(node: NodeFolder) -> None:
    """Else the tests of the history would prove little."""
    sent: list[object] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(200)

    http = httpx.AsyncClient(transport=httpx.MockTransport(take), base_url="http://127.0.0.1:8080")
    telling = Telling(Extension(http))
    await telling.event("Task Created")
    await telling.say(1_795_780_800_000, "Hello")
    await telling.say(1_795_780_800_000, "Done", about="completion_result", partial=True)
    await telling.completion(1200, 80, 0.0042)
    await telling.event("Task Completed")
    documents = [("rooCodeTelemetryEventSchema", each) for each in sent]
    # A backfill is a list of what such events carry.
    documents += [("clineMessageSchema", each) for each in MESSAGES]
    assert node.run("check.mjs", given=json.dumps(documents)) == [[]] * len(documents)
    assert len(sent) == 5
