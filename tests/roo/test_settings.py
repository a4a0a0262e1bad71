"""Settings: a version that changes with every change, and that two people cannot change over one another."""

import asyncio

import pytest

from pouch.base.ids import show_id
from pouch.identity.organizations import add_member, add_organization
from pouch.identity.types import Organization
from roo.extension import Browser, Extension, signed_in
from routes.stage import Somebody, Stage
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]


async def harbor(stage: Stage, owner: Somebody, *members: Somebody) -> Organization:
    async with stage.database.transaction() as db:
        organization = await add_organization(db, "Harbor", owner.person)
        for member in members:
            await add_member(db, organization, member.person, "member")
    return organization


async def test_a_person_alone_keeps_their_tasks_and_shares_only_when_they_press_share(
    browser: Browser, extension: Extension
) -> None:
    settings = await (await signed_in(browser, extension)).settings()
    cloud = settings["organization"]["cloudSettings"]
    assert settings["user"]["settings"] == {"taskSyncEnabled": True, "extensionBridgeEnabled": False}
    assert (cloud["recordTaskMessages"], cloud["enableTaskSharing"], cloud["taskShareExpirationDays"]) == (
        True,
        True,
        30,
    )
    assert settings["organization"]["allowList"] == {"allowAll": True, "providers": {}}
    assert settings["organization"]["version"] != settings["user"]["version"]


async def test_the_switch_in_the_editor_is_the_switch_on_the_page(browser: Browser, extension: Extension) -> None:
    await signed_in(browser, extension)
    settings = await extension.settings()
    before, organization = settings["user"], settings["organization"]
    answer = await extension.change({"taskSyncEnabled": False}, before["version"])
    assert answer.status_code == 200
    changed = answer.json()
    assert changed.keys() == {"features", "settings", "version"}
    assert changed["version"] > before["version"]
    assert changed["settings"]["taskSyncEnabled"] is False
    now = await extension.settings()
    assert now["user"] == changed
    assert now["organization"]["cloudSettings"]["recordTaskMessages"] is False
    assert now["organization"]["version"] > organization["version"]
    assert 'name="keeps_tasks" checked' not in (await browser.get("/tasks/settings")).text
    on = await browser.post("/tasks/settings", {"keeps_tasks": "on", "keep_days": "7"})
    assert on.status_code == 303
    after = (await extension.settings())["user"]
    assert (after["settings"]["taskSyncEnabled"], after["version"] > changed["version"]) == (True, True)


async def test_of_two_changes_of_the_same_settings_one_is_told_to_look_again(
    browser: Browser, extension: Extension
) -> None:
    await signed_in(browser, extension)
    version = (await extension.settings())["user"]["version"]
    answers = await asyncio.gather(*(extension.change({"taskSyncEnabled": each}, version) for each in (True, False)))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    on_the_page = await browser.post("/tasks/settings", {"keep_days": "7", "version": str(version)})
    assert on_the_page.status_code == 409
    assert "changed meanwhile" in on_the_page.text
    assert (await extension.change({"taskSyncEnabled": True})).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"taskSyncEnabled": "yes"},
        {"taskSyncEnabled": None},
        {"llmEnhancedFeaturesEnabled": 1},
        {"extensionBridgeEnabled": "on"},
        [],
        None,
        "taskSyncEnabled",
    ],
    ids=str,
)
async def test_what_is_no_setting_is_refused(browser: Browser, extension: Extension, body: object) -> None:
    await signed_in(browser, extension)
    before = await extension.settings()
    assert (await extension.change(body)).status_code == 400
    assert await extension.settings() == before


async def test_settings_of_other_versions_are_left_alone(browser: Browser, extension: Extension) -> None:
    await signed_in(browser, extension)
    answer = await extension.change({"roomoteControlEnabled": True, "somethingNew": {"a": 1}})
    assert answer.status_code == 200
    assert answer.json()["settings"] == {"taskSyncEnabled": True, "extensionBridgeEnabled": False}


async def test_owners_decide_for_the_editors_of_an_organization(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody
) -> None:
    bob = await stage.somebody()
    organization = await harbor(stage, alice, bob)
    org_id = show_id("org", organization.id)
    await signed_in(browser, extension, organization=org_id)
    before = (await extension.settings())["organization"]
    assert before["cloudSettings"]["recordTaskMessages"] is False
    form = {
        "version": str(before["version"]),
        "records_tasks": "on",
        "shares_tasks": "on",
        "share_days": "7",
        "allowed": "roo\nanthropic: claude-sonnet-4-5, claude-haiku-4-5",
        "hidden_mcps": "playwright",
    }
    page = f"/organizations/{org_id}/editors"
    assert (await browser.post(page, form)).status_code == 303
    after = (await extension.settings())["organization"]
    assert after["version"] > before["version"]
    assert after["allowList"] == {
        "allowAll": False,
        "providers": {
            "roo": {"allowAll": True},
            "anthropic": {"allowAll": False, "models": ["claude-sonnet-4-5", "claude-haiku-4-5"]},
        },
    }
    assert after["cloudSettings"] == {
        "recordTaskMessages": True,
        "enableTaskSharing": True,
        "allowPublicTaskSharing": False,
        "taskShareExpirationDays": 7,
        "allowMembersViewAllTasks": False,
        "workspaceTaskVisibility": "creator",
    }
    assert after["hiddenMcps"] == ["playwright"]
    assert "anthropic: claude-sonnet-4-5, claude-haiku-4-5" in (await browser.get(page)).text
    again = await browser.post(page, form)
    assert again.status_code == 409

    async with stage.client() as client:
        bobs = Browser(client, stage, bob)
        shown = await bobs.get(page)
        assert shown.status_code == 200
        assert "disabled" in shown.text
        assert (await bobs.post(page, form)).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [{"allowed": "Not a provider!"}, {"allowed": "roo: <script>"}, {"share_days": "8"}, {"version": "x"}],
    ids=str,
)
async def test_an_owner_who_mistypes_is_told_where(
    stage: Stage, browser: Browser, alice: Somebody, wrong: dict[str, str]
) -> None:
    organization = await harbor(stage, alice)
    form = {"share_days": "7", "allows_all": "on"} | wrong
    answer = await browser.post(f"/organizations/{show_id('org', organization.id)}/editors", form)
    assert answer.status_code == 400
    assert "notice--bad" in answer.text


async def test_each_organization_has_a_version_of_its_own(
    stage: Stage, browser: Browser, extension: Extension, alice: Somebody
) -> None:
    """An editor that changes the organization keeps what it has when the version is the same."""
    first, second = await harbor(stage, alice), await harbor(stage, alice)
    await signed_in(browser, extension)
    versions = [(await extension.settings())["organization"]["version"]]
    for organization in (first, second):
        extension.organization_id = show_id("org", organization.id)
        assert (await extension.refresh()).status_code == 200
        versions.append((await extension.settings())["organization"]["version"])
    assert len(set(versions)) == 3
