import re
from collections.abc import AsyncIterator
from importlib.resources import files

import httpx
import pytest

from pouch.settings import Settings
from pouch.web.application import application
from pouch.web.assets import Assets, joined, plain, takes_gzip
from pouch.web.pages import Web

pytestmark = pytest.mark.anyio

CSS = files("pouch.web") / "static" / "css"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    web = Web(settings=Settings(config=""))
    app = application(web, [])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest.mark.parametrize(
    ("name", "kind"), [("css/pouch.css", "text/css"), ("js/pouch.js", "text/javascript"), ("mark.svg", "image/svg+xml")]
)
async def test_a_file_is_kept_for_good_under_the_name_of_its_content(
    client: httpx.AsyncClient, name: str, kind: str
) -> None:
    answer = await client.get(Assets().url(name))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    again = await client.get(Assets().url(name), headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    head = await client.head(Assets().url(name))
    assert head.status_code == 200


async def test_a_page_of_another_version_gets_the_file_but_not_for_good(client: httpx.AsyncClient) -> None:
    answer = await client.get("/static/0123456789abcdef/css/pouch.css")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


async def test_a_file_goes_out_compressed_to_whom_that_suits_and_each_form_has_its_own_name(
    client: httpx.AsyncClient,
) -> None:
    """What is sent is a fifth of the sheet. A cache between keeps the two forms apart, and each is known again."""
    address = Assets().url("css/pouch.css")
    small = await client.get(address, headers={"accept-encoding": "gzip, deflate, br"})
    whole = await client.get(address, headers={"accept-encoding": "identity"})
    assert small.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in whole.headers
    assert small.headers["vary"] == whole.headers["vary"] == "accept-encoding"
    assert small.content == whole.content
    assert int(whole.headers["content-length"]) == len(whole.content)
    assert int(small.headers["content-length"]) == small.num_bytes_downloaded < len(whole.content) / 4
    assert small.headers["etag"] != whole.headers["etag"]

    for form, etag, status in (
        ("gzip", small, 304),
        ("identity", whole, 304),
        ("gzip", whole, 200),
        ("identity", small, 200),
    ):
        headers = {"accept-encoding": form, "if-none-match": etag.headers["etag"]}
        again = await client.get(address, headers=headers)
        assert again.status_code == status, (form, status)
        assert again.headers["vary"] == "accept-encoding"


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("x-gzip-not, identity", False),
        (";;q,=", False),
    ],
)
def test_gzip_is_sent_to_those_who_said_that_they_take_it(accepted: str, takes: bool) -> None:
    assert takes_gzip(accepted) is takes


@pytest.mark.parametrize("name", ["css/tokens.css", "../pages.py", "%2e%2e/pages.py", "js/", ""])
async def test_no_other_file_can_be_had(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/static/x/{name}")).status_code == 404


def test_the_style_sheet_is_one_file_with_every_part_in_its_layer() -> None:
    sheet = joined(CSS)
    assert "@import" not in sheet
    assert "url(" not in sheet
    parts = [file for file in (CSS / "components").iterdir() if file.name.endswith(".css")]
    assert len(re.findall(r"^@layer components \{$", sheet, re.MULTILINE)) == len(parts)
    for part in parts:
        assert part.read_text(encoding="utf-8") in sheet
    assert sheet.count("{") == sheet.count("}")


def test_components_use_roles_and_not_raw_colours() -> None:
    for part in (CSS / "components").iterdir():
        assert not re.search(r"var\(--(ink|denim|thread|moss|madder)-", part.read_text(encoding="utf-8")), part.name


def test_a_script_loses_nothing_but_what_no_browser_needs() -> None:
    script = """
    // A comment
    const a = { b : "keeps = its, spaces", c: `and ${ d } too`, e: 'x = y' };
    if (a && !b) return a ? b : c;
    for (const part of parts) show(part.length > 1);
    """
    assert plain(script).splitlines() == [
        """const a={b:"keeps = its, spaces",c:`and ${ d } too`,e:'x = y'};""",
        "if(a&&!b)return a?b:c;",
        "for(const part of parts)show(part.length > 1);",
    ]


async def test_what_a_money_page_loads_is_small(client: httpx.AsyncClient) -> None:
    script = plain((files("pouch.web") / "static" / "js" / "pouch.js").read_text(encoding="utf-8"))
    assert len(script) <= 2048
    assert "//" not in script
    sheet = await client.get(Assets().url("css/pouch.css"), headers={"accept-encoding": "gzip"})
    assert sheet.num_bytes_downloaded < 12_000
