"""Which models people are shown on the way into an editor: no deprecated one, and each that answers in words."""

import re
from collections.abc import AsyncIterator

import pytest

from roo.extension import Browser, Extension
from routes.stage import Stage, opened
from support.cards import uses_sdk

pytestmark = [pytest.mark.anyio, uses_sdk]
MODEL = """
[[models]]
id = "up/{name}"
upstream = "up"
upstream_model = "{name}"
name = "{name}"
context_window = 1000
max_tokens = 100
tags = {tags}
deprecated = {deprecated}
"""
CONFIG = """
[embedded]
i_know_this_is_play_money = true
[[upstreams]]
id = "up"
base_url = "http://127.0.0.1:9/v1"
"""
OLD = MODEL.format(name="old", tags='["free"]', deprecated="true")
SEES = MODEL.format(name="sees", tags='["free", "image"]', deprecated="false")
"""`image` is what older clients call vision."""


@pytest.fixture(scope="module")
async def stage(stage_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("data")
    (folder / "pouch.toml").write_text(CONFIG + OLD + SEES)
    async with opened(stage_database_url, folder, config=str(folder / "pouch.toml")) as stage:
        yield stage


async def test_a_deprecated_model_is_offered_to_nobody_on_the_way_in(browser: Browser, extension: Extension) -> None:
    page = (await browser.get(extension.page("/extension/provider-sign-up"))).text
    options = re.findall(r'<option value="([^"]+)"', page)
    assert options[0] == "up/sees"
    assert "pouch/paid" in options
    assert "up/old" not in options
    assert "up/old" not in (await browser.get("/connect")).text


async def test_who_uses_a_deprecated_model_may_go_on_with_it(browser: Browser, extension: Extension) -> None:
    listed = (await extension.http.get("/proxy/v1/models")).json()["data"]
    assert {entry["id"]: entry.get("deprecated") for entry in listed}["up/old"] is True
    page = extension.page("/extension/provider-sign-up")
    assert (await browser.let_in(page, model="up/old")).endswith("&provider_model=up%2Fold")
