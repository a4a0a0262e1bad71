import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from pouch.base.errors import InvalidInput
from pouch.web.forms import read_form, safe_next

pytestmark = pytest.mark.anyio

URLENCODED = "application/x-www-form-urlencoded"


def _posted(body: bytes, kind: str = URLENCODED) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}, receive)


async def test_the_last_of_a_repeated_field_counts_and_empty_ones_are_kept() -> None:
    form = await read_form(_posted(b"a=1&b=&a=2&c=caf%C3%A9+noir"))
    assert form == {"a": "2", "b": "", "c": "café noir"}


async def test_a_charset_beside_the_kind_is_fine() -> None:
    assert await read_form(_posted(b"a=1", URLENCODED + "; charset=UTF-8")) == {"a": "1"}


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json", "text/plain", ""])
async def test_other_kinds_of_bodies_are_refused(kind: str) -> None:
    with pytest.raises(InvalidInput):
        await read_form(_posted(b"a=1", kind))


@pytest.mark.parametrize("body", [b"a=%FF", b"a=\xff", b"a=%00", b"%00=a", b"&".join([b"a=1"] * 101)])
async def test_what_cannot_be_stored_or_read_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        await read_form(_posted(body))


@pytest.mark.parametrize("path", ["/", "/billing", "/billing?before=7", "/keys#new", "/a//b", "/%2F%2Fevil.example"])
def test_paths_of_this_site_are_kept(path: str) -> None:
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "billing",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "/a b",
        " /a",
        "/" + "a" * 2000,
        "/a\x7f",
    ],
)
def test_everything_else_leads_home(path: str | None) -> None:
    assert safe_next(path) == "/"


@given(st.text())
def test_whatever_is_given_the_way_stays_on_this_site(text: str) -> None:
    way = safe_next("/" + text)
    assert way.startswith("/")
    assert not way.startswith(("//", "/\\"))
