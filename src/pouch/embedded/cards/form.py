"""Form bodies with brackets, as Stripe's SDKs send them: `line_items[0][price_data][currency]=usd`."""

import re
from typing import Self, TypeAlias, Union
from urllib.parse import parse_qsl

from pouch.embedded.cards.errors import Refusal
from pouch.embedded.cards.types import Metadata

Tree: TypeAlias = dict[str, Union[str, "Tree"]]

FIELDS_MAX = 500
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def decode(body: str) -> Tree:
    """Read a urlencoded text into nested dictionaries; `a[]` counts up. Raises Refusal when it cannot be read."""
    tree: Tree = {}
    try:
        fields = parse_qsl(body, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise Refusal("The request body cannot be read.") from error
    for name, value in fields:
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise Refusal(f"Invalid parameter name: {name[:80]}")
        _put(tree, [parts[1], *re.findall(r"\[([^\[\]]*)\]", parts[2])], value)
    return tree


def _put(tree: Tree, path: list[str], value: str) -> None:
    for key in path[:-1]:
        below = tree.setdefault(key or str(len(tree)), {})
        if isinstance(below, str):
            raise Refusal(f"Invalid parameter: {path[0]}", param=path[0])
        tree = below
    tree[path[-1] or str(len(tree))] = value


class Form:
    """The parameters of one request, read one by one; `end` refuses what nobody asked for.

    An empty text means "not given", as at Stripe. Every reader raises Refusal naming the parameter.
    """

    def __init__(self, tree: Tree, *, path: str = "") -> None:
        self._tree = dict(tree)
        self._path = path
        self._groups: list[Self] = []

    def name(self, key: str) -> str:
        """How the client wrote this parameter."""
        return f"{self._path}[{key}]" if self._path else key

    def text(self, key: str, *, length_max: int = 5000) -> str | None:
        """A text, or None."""
        value = self._tree.pop(key, None)
        if isinstance(value, dict):
            raise Refusal(f"Invalid string: {self.name(key)}", param=self.name(key))
        if value is not None and len(value) > length_max:
            raise Refusal(f"Invalid string: {self.name(key)}; at most {length_max} characters", param=self.name(key))
        if value is not None and "\x00" in value:
            raise Refusal(f"Invalid string: {self.name(key)}", param=self.name(key))
        return value or None

    def needed(self, key: str) -> str:
        """A text that must be there."""
        value = self.text(key)
        if value is None:
            raise Refusal(f"Missing required param: {self.name(key)}.", code="parameter_missing", param=self.name(key))
        return value

    def one_of(self, key: str, *choices: str) -> str | None:
        """One of these words, or None."""
        value = self.text(key)
        if value is not None and value not in choices:
            raise Refusal(f"Invalid {self.name(key)}: must be one of {', '.join(choices)}", param=self.name(key))
        return value

    def whole(self, key: str) -> int | None:
        """A whole number without a sign and with at most eleven digits (enough for any time and amount), or None."""
        value = self.text(key, length_max=11)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit()):
            raise Refusal(f"Invalid integer: {value}", code="parameter_invalid_integer", param=self.name(key))
        return int(value)

    def flag(self, key: str) -> bool:
        """Whether "true" was sent."""
        return self.one_of(key, "true", "false") == "true"

    def group(self, key: str) -> Self:
        """The parameters below this one; none when it was not sent."""
        value = self._tree.pop(key, None) or {}
        if isinstance(value, str):
            raise Refusal(f"Invalid object: {self.name(key)}", param=self.name(key))
        group = type(self)(value, path=self.name(key))
        self._groups.append(group)
        return group

    def items(self, key: str) -> list[Self]:
        """The groups of a list, in order."""
        group = self.group(key)
        return [group.group(index) for index in sorted(group._tree, key=int_or_last)]  # noqa: SLF001 -- a form of our own

    def texts(self, key: str) -> list[str]:
        """The texts of a list, in order."""
        group = self.group(key)
        return [group.needed(index) for index in sorted(group._tree, key=int_or_last)]  # noqa: SLF001 -- a form of our own

    def metadata(self, before: Metadata | None = None) -> Metadata:
        """`metadata[key]=value`, laid over what was there; an empty value removes its key."""
        merged = dict(before or {})
        group = self.group("metadata")
        for key in list(group._tree):  # noqa: SLF001 -- a form of our own
            value = group.text(key, length_max=500)
            if value is None:
                merged.pop(key, None)
            elif len(key) > 40:
                raise Refusal(f"Metadata keys have at most 40 characters: {key[:60]}", param=group.name(key))
            else:
                merged[key] = value
        if len(merged) > 50:
            raise Refusal("Metadata has at most 50 keys.", param=self.name("metadata"))
        return merged

    def skip(self, *keys: str) -> None:
        """Accept parameters that only change how Stripe's page looks."""
        for key in keys:
            self._tree.pop(key, None)

    def end(self) -> None:
        """Refuse parameters that nobody read: a misspelt one must not pass silently."""
        for key in self._tree:
            raise Refusal(
                f"Received unknown parameter: {self.name(key)}", code="parameter_unknown", param=self.name(key)
            )
        for group in self._groups:
            group.end()


def int_or_last(index: str) -> int:
    """Lists come as numbered groups; anything else sorts last and is refused by whoever reads it."""
    return int(index) if index.isascii() and index.isdigit() and len(index) < 9 else 10**9
