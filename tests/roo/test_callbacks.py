"""Where a browser may be sent after a sign-in: to editors and to this machine, and nowhere else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.base.errors import InvalidInput
from pouch.roo.callbacks import read_editor_callback, read_loopback_callback, with_code

STATE = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("redirect", "editor"),
    [
        ("vscode://RooVeterinaryInc.roo-cline", "Visual Studio Code"),
        ("vscode-insiders://RooVeterinaryInc.roo-cline", "Visual Studio Code Insiders"),
        ("cursor://RooVeterinaryInc.roo-code-nightly", "Cursor"),
        ("windsurf://RooVeterinaryInc.roo-cline", "Windsurf"),
        ("vscodium://kilocode.kilo-code", "VSCodium"),
        ("some-editor://publisher.name", "some-editor"),
    ],
)
def test_an_editor_is_led_back_to(redirect: str, editor: str) -> None:
    callback = read_editor_callback(redirect, STATE)
    assert callback.editor == editor
    assert callback.is_known is (editor != "some-editor")
    assert callback.url(organization_id=None, model=None) == (
        f"{redirect}/auth/clerk/callback?state={STATE}&organizationId=null"
    )


def test_the_address_is_written_as_the_editor_reads_it() -> None:
    """It takes a plus literally, so a space is %20."""
    callback = read_editor_callback("vscode://RooVeterinaryInc.roo-cline", STATE)
    url = with_code(callback.url(organization_id="org_1", model="some lab/model:free+x"), "thecode")
    assert url == (
        "vscode://RooVeterinaryInc.roo-cline/auth/clerk/callback?code=thecode"
        f"&state={STATE}&organizationId=org_1&provider_model=some%20lab%2Fmodel%3Afree%2Bx"
    )


@pytest.mark.parametrize(
    "redirect",
    [
        "",
        "vscode",
        "vscode:",
        "vscode://",
        "vscode://publisher",
        "vscode:publisher.name",
        "http://evil.example",
        "https://evil.example",
        "HTTPS://evil.example",
        "Https://evil.example",
        "ws://evil.example",
        "ftp://evil.example",
        "javascript://publisher.name",
        "javascript://publisher.name%0aalert(1)",
        "data://publisher.name",
        "file://publisher.name",
        "blob://publisher.name",
        "about://publisher.name",
        "view-source://publisher.name",
        "ms-settings://publisher.name",
        "ms-word://publisher.name",
        "web+thing://publisher.name",
        "mailto://publisher.name",
        "chrome://publisher.name",
        "intent://publisher.name",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\tevil.example",
        "/%09/evil.example",
        "vscode://publisher.name/",
        "vscode://publisher.name/path",
        "vscode://publisher.name?x=1",
        "vscode://publisher.name#x",
        "vscode://user@publisher.name",
        "vscode://publisher.name:80",
        "vscode://publisher.name@evil.example",
        "vscode://publisher..name",
        "vscode://.name",
        "vscode://publisher.",
        "vscode://publisher.name\n",
        "vscode://publisher.name\r\nlocation: x",
        " vscode://publisher.name",
        "vscode://publisher.name\x00",
        "vscode://publísher.name",
        "vscode://publisher.name" + ".x" * 400,
        "v" * 400 + "://publisher.name",
    ],
)
def test_nothing_else_is(redirect: str) -> None:
    with pytest.raises(InvalidInput):
        read_editor_callback(redirect, STATE)


@pytest.mark.parametrize(
    "state", ["", "short", "x" * 129, "has space!", "0123456789abcdef\n", "<script>alert(1)</script>"]
)
def test_a_state_is_what_editors_make_up(state: str) -> None:
    with pytest.raises(InvalidInput):
        read_editor_callback("vscode://publisher.name", state)
    with pytest.raises(InvalidInput):
        read_loopback_callback("http://127.0.0.1:49152/callback", state)


@pytest.mark.parametrize(
    "callback",
    ["http://127.0.0.1:49152/callback", "http://localhost:49153/callback", "http://[::1]:65535/", "http://127.0.0.1:1"],
)
def test_a_terminal_on_this_machine_is_led_back_to(callback: str) -> None:
    read = read_loopback_callback(callback, STATE)
    assert read.with_token("a.b.c") == f"{callback}?token=a.b.c&state={STATE}"
    assert read.with_error("No, thanks") == f"{callback}?error=No%2C%20thanks&state={STATE}"
    assert callback.startswith(read.origin)


@pytest.mark.parametrize(
    "callback",
    [
        "",
        "http://127.0.0.1/callback",
        "https://127.0.0.1:49152/callback",
        "http://127.0.0.2:49152/callback",
        "http://0.0.0.0:49152/callback",
        "http://192.168.0.1:49152/callback",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:49152@evil.example/",
        "http://user@127.0.0.1:49152/",
        "http://127.0.0.1.evil.example:49152/",
        "http://localhost.evil.example:49152/",
        "http://127.0.0.1:49152/callback?next=x",
        "http://127.0.0.1:49152/callback#x",
        "http://127.0.0.1:49152/call back",
        "http://127.0.0.1:49152/\r\nset-cookie: x=1",
        "http://127.0.0.1:49152/\\evil.example",
        "http://127.0.0.1:49152//evil.example\n",
        "http://[::ffff:1.2.3.4]:49152/",
        "http://2130706433:49152/",
        "http://0x7f.1:49152/",
        "HTTP://127.0.0.1:49152/",
        "vscode://publisher.name",
        "javascript:alert(1)",
        "//127.0.0.1:49152/",
        "http://127.0.0.1:49152/" + "x" * 300,
    ],
)
def test_no_other_machine_is(callback: str) -> None:
    with pytest.raises(InvalidInput):
        read_loopback_callback(callback, STATE)


@given(st.text(), st.text())
def test_whatever_is_sent_is_understood_or_refused(address: str, state: str) -> None:
    for read in (read_editor_callback, read_loopback_callback):
        for each in (address, f"http://{address}", f"{address}://a.b"):
            with contextlib.suppress(InvalidInput):
                read(each, state)
