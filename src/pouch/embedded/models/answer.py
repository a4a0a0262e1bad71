"""What a test model says: words one by one, then perhaps one tool call, whose arguments come word by word too."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

_WORD = re.compile(r"\s*\S+")

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in the pieces it is streamed in. Each piece of text or of arguments counts as one token."""

    text: Sequence[str]
    tool_name: str | None = None
    arguments: Sequence[str] = ()
    is_cut: bool = False

    @property
    def words(self) -> int:
        """How many tokens it is billed as."""
        return len(self.text) + len(self.arguments)

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ends."""
        if self.is_cut:
            return "length"
        return "tool_calls" if self.tool_name else "stop"


def spoken(words: Iterable[str]) -> list[str]:
    """Words as pieces that give the text with single spaces when put together."""
    return [f" {word}" if index else word for index, word in enumerate(words)]


def in_words(text: str) -> list[str]:
    """Cut text behind each word, so that the pieces put together are the same text."""
    return _WORD.findall(text)


def cut(answer: Answer, words_max: int) -> Answer:
    """The first `words_max` words of an answer: a tool call ends in the middle, as real models' do."""
    if answer.words <= words_max:
        return answer
    text = answer.text[:words_max]
    arguments = answer.arguments[: words_max - len(text)]
    return replace(
        answer, text=text, arguments=arguments, tool_name=answer.tool_name if arguments else None, is_cut=True
    )
