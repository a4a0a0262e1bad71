"""Where a browser is sent after signing a program in: an editor on this machine, or a command line that listens here.

Never anywhere else: what is not exactly of these shapes is refused, so this is no open redirect.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from pouch.base.errors import InvalidInput
from pouch.base.languages import say

EDITOR_PATH = "/auth/clerk/callback"
_EDITOR = re.compile(
    r"([a-z][a-z0-9+.-]{1,39})://[A-Za-z0-9][A-Za-z0-9-]{0,63}(?:\.[A-Za-z0-9][A-Za-z0-9_-]{0,63}){1,3}", re.ASCII
)
_LOOPBACK = re.compile(
    r"(http://(?:127\.0\.0\.1|localhost|\[::1\]):([1-9][0-9]{0,4}))((?:/[A-Za-z0-9._~-]*)*)", re.ASCII
)
_STATE = re.compile(r"[A-Za-z0-9_-]{8,128}", re.ASCII)
_FOREIGN = {
    *(
        "http",
        "https",
        "ws",
        "wss",
        "ftp",
        "ftps",
        "sftp",
        "ssh",
        "git",
        "file",
        "smb",
        "nfs",
        "ldap",
        "ldaps",
        "telnet",
    ),
    *(
        "javascript",
        "vbscript",
        "data",
        "blob",
        "about",
        "filesystem",
        "view-source",
        "jar",
        "resource",
        "res",
        "intent",
    ),
    *("chrome", "chrome-extension", "moz-extension", "edge", "opera", "brave", "devtools", "search", "shell", "help"),
    *(
        "mailto",
        "tel",
        "sms",
        "facetime",
        "skype",
        "zoommtg",
        "steam",
        "slack",
        "itms",
        "itms-apps",
        "x-apple",
        "git+ssh",
    ),
}
"""What browsers and systems open by themselves. An editor has a name of its own."""
EDITORS = {
    "vscode": "Visual Studio Code",
    "vscode-insiders": "Visual Studio Code Insiders",
    "vscodium": "VSCodium",
    "code-oss": "Code - OSS",
    "cursor": "Cursor",
    "windsurf": "Windsurf",
    "trae": "Trae",
    "kiro": "Kiro",
    "positron": "Positron",
    "antigravity": "Antigravity",
}


@dataclass(frozen=True, slots=True)
class EditorCallback:
    """An editor that asks to be signed in. `redirect` is scheme://publisher.name."""

    scheme: str
    redirect: str
    state: str

    @property
    def editor(self) -> str:
        """What people call the editor."""
        return EDITORS.get(self.scheme, self.scheme)

    @property
    def is_known(self) -> bool:
        """Whether it is an editor we have heard of."""
        return self.scheme in EDITORS

    def url(self, *, organization_id: str | None, model: str | None) -> str:
        """Where the editor takes its ticket, but for the ticket's code: see `with_code`."""
        # The editor takes "+" literally, so a space is %20.
        query = f"state={quote(self.state, safe='')}&organizationId={quote(organization_id or 'null', safe='')}"
        return f"{self.redirect}{EDITOR_PATH}?{query}" + (f"&provider_model={quote(model, safe='')}" if model else "")


@dataclass(frozen=True, slots=True)
class LoopbackCallback:
    """A command line that listens on this machine."""

    origin: str
    url: str
    state: str

    def with_token(self, token: str) -> str:
        """Where the browser hands a token over."""
        return f"{self.url}?token={quote(token, safe='')}&state={quote(self.state, safe='')}"

    def with_error(self, text: str) -> str:
        """Where the browser says that there is no token."""
        return f"{self.url}?error={quote(text, safe='')}&state={quote(self.state, safe='')}"


def with_code(url: str, code: str) -> str:
    """The whole address that the editor opens."""
    address, _, query = url.partition("?")
    return f"{address}?code={code}&{query}"


def read_editor_callback(redirect: str, state: str) -> EditorCallback:
    """Read what an editor asks. Raises InvalidInput for any other address."""
    shape = _EDITOR.fullmatch(redirect)
    if shape is None or shape[1] in _FOREIGN or shape[1].startswith(("ms-", "web+")):
        raise InvalidInput(
            say("This link does not lead back to an editor. Start again in the editor."), field="auth_redirect"
        )
    return EditorCallback(shape[1], redirect, _read_state(state, "the editor"))


def read_loopback_callback(callback: str, state: str) -> LoopbackCallback:
    """Read what a command line asks. Raises InvalidInput for an address that is not on this machine."""
    shape = _LOOPBACK.fullmatch(callback)
    if shape is None or len(callback) > 200 or int(shape[2]) > 65535:
        raise InvalidInput(
            say("This link does not lead back to a program on this machine. Start again with: roo auth login"),
            field="callback",
        )
    return LoopbackCallback(shape[1], callback, _read_state(state, "the terminal"))


def _read_state(text: str, where: str) -> str:
    if _STATE.fullmatch(text) is None:
        raise InvalidInput(f"This link is not whole. Start again in {where}.", field="state")
    return text
