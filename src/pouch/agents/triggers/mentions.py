"""Whether somebody speaks to us: our name in what they wrote themselves, not in code, quotes or comments."""

import re

TEXT_CHARACTERS_MAX = 65_536
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_TICKS = re.compile(r"`+")


def own_words(text: str) -> str:
    """What is left of a text in Markdown without code, quotes and what is not shown."""
    kept: list[str] = []
    fence = ""
    for line in _shown(text[:TEXT_CHARACTERS_MAX].replace("\r\n", "\n")).split("\n"):
        if fence:
            fence = "" if line.strip().startswith(fence) else fence
        elif found := _FENCE.match(line):
            fence = found[1]
        elif not line.lstrip(" ").startswith(">") and not line.startswith(("    ", "\t")):
            kept.append(_without_code(line))
    return "\n".join(kept)


def mentions(text: str, name: str) -> bool:
    """Whether a text speaks to @name."""
    return re.search(rf"(?<![\w@/.-])@{re.escape(name)}(?![\w-])", own_words(text), re.IGNORECASE) is not None


def _shown(text: str) -> str:
    """Without comments; one that is not closed hides the rest."""
    first, *rest = text.split("<!--")
    return "".join([first, *(part.partition("-->")[2] for part in rest)])


def _without_code(line: str) -> str:
    """Without what stands between as many backticks as begin it."""
    kept: list[str] = []
    runs = list(_TICKS.finditer(line))
    last: dict[int, int] = {len(run[0]): index for index, run in enumerate(runs)}
    at = index = 0
    while index < len(runs):
        length = len(runs[index][0])
        if last[length] == index:
            index += 1
            continue
        close = next(each for each in range(index + 1, len(runs)) if len(runs[each][0]) == length)
        kept.append(line[at : runs[index].start()])
        at, index = runs[close].end(), close + 1
    return " ".join([*kept, line[at:]])
