"""Taking secrets out of what an agent says, before it is stored anywhere.

Rule: every known secret value of the run, and everything that looks like a secret of a well-known kind, is replaced. It
is a net, not a wall: the wall is that secrets are not in the sandbox.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence

HIDDEN = "[secret removed]"
LENGTH_MIN = 5
"""A shorter value would take ordinary words out; those who set one are told."""

_PATTERNS = re.compile(
    r"""
      sk-[A-Za-z0-9_-]{20,}                                   # keys of model vendors, and ours
    | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{30,}
    | glpat-[A-Za-z0-9_-]{20,}
    | xox[abposr]-[A-Za-z0-9-]{10,}
    | AKIA[0-9A-Z]{16} | ASIA[0-9A-Z]{16}
    | AIza[0-9A-Za-z_-]{35}
    | [rs]k_(?:live|test)_[A-Za-z0-9]{16,} | whsec_[A-Za-z0-9]{16,}
    | eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}
    | -----BEGIN\ (?:[A-Z]+\ )?PRIVATE\ KEY-----[\s\S]*?(?:-----END\ (?:[A-Z]+\ )?PRIVATE\ KEY-----|\Z)
    | (?<=://)[^/\s:@]+:[^/\s:@]+(?=@)                        # name and password in an address
    """,
    re.VERBOSE,
)


class Redaction:
    """Takes these values, and whatever looks like a secret, out of texts."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        # The longest first: one secret may be the beginning of another.
        found = {form for value in values if len(value) >= LENGTH_MIN for form in _forms(value)}
        known = sorted(found, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        return _PATTERNS.sub(HIDDEN, text)

    def body(self, body: Mapping[str, object]) -> dict[str, object]:
        """The same for everything in an event."""
        return {name: self._value(value) for name, value in body.items()}

    def document(self, raw: bytes) -> bytes:
        """The same for a file that is JSON, or else text: a conversation as an engine keeps it."""
        try:
            said = json.loads(raw)
        except ValueError:
            return self.text(raw.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        return json.dumps(self._value(said)).encode()

    def _value(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self._value(each) for name, each in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes):
            return [self._value(each) for each in value]
        return value


def _forms(value: str) -> set[str]:
    """A value as it is, and as it stands in JSON: arguments of a tool are JSON within JSON."""
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
