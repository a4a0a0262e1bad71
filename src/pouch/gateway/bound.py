"""How many tokens a request can come to: a true upper bound, worked out without a tokenizer.

Rule. A byte-level tokenizer never makes more tokens than there are UTF-8 bytes. So the input is at most the bytes of
every text field, plus what a server adds around them: 16 tokens for the call, 8 for each message, 512 once when tools
are offered, and 6,000 for each image (the dearest known so far is below; what a provider counts beyond the bound is
the operator's loss, see `ledger`). The output is at most the smaller of what the caller asks for and what the model
can give, for each of `n` answers, plus the text of a `prediction`, whose rejected tokens are billed as output.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from pouch.gateway.errors import BadRequest

CALL_TOKENS = 16
MESSAGE_TOKENS = 8
TOOLS_TOKENS = 512
IMAGE_TOKENS = 6_000
ANSWERS_MAX = 8

# Text stands in these fields besides `messages`; each is sent to the model in some form.
_TEXT_FIELDS = ("tools", "functions", "response_format", "tool_choice", "function_call", "stop", "user", "metadata")


@dataclass(frozen=True, slots=True)
class InputBound:
    """The most a request can come to, and the bytes of its text."""

    tokens_max: int
    text_bytes: int
    images: int


@dataclass(frozen=True, slots=True)
class OutputBound:
    """The most that can come back: so many tokens in each of so many answers, and a prediction's rejected ones."""

    each: int
    answers: int = 1
    predicted: int = 0

    @property
    def tokens_max(self) -> int:
        """All together."""
        return self.each * self.answers + self.predicted


def input_bound(request: Mapping[str, object]) -> InputBound:
    """Bound the input of a chat completion. Raises BadRequest for messages that are none."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list with at least one message.", param="messages")
    text, images = 0, 0
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise BadRequest(f"messages[{index}] must be an object with a role and content.", param="messages")
        for name, value in message.items():
            if name == "content" and isinstance(value, list):
                for part in value:
                    part_text, part_images = _part(part, index)
                    text += part_text
                    images += part_images
            elif isinstance(value, str):
                text += _length(value)
            elif value is not None:
                text += len(orjson.dumps(value))
    others = sum(len(orjson.dumps(request[name])) for name in _TEXT_FIELDS if request.get(name) is not None)
    added = CALL_TOKENS + MESSAGE_TOKENS * len(messages) + IMAGE_TOKENS * images
    if request.get("tools") or request.get("functions"):
        added += TOOLS_TOKENS
    return InputBound(text + others + added, text + others, images)


def output_bound(request: Mapping[str, object], model_max: int) -> OutputBound:
    """Bound the output. Raises BadRequest for a `max_tokens` or `n` that is no positive whole number in reach."""
    asked = [
        _positive(request, name, 2**31)
        for name in ("max_tokens", "max_completion_tokens")
        if request.get(name) is not None
    ]
    answers = _positive(request, "n", ANSWERS_MAX) if request.get("n") is not None else 1
    prediction = request.get("prediction")
    predicted = len(orjson.dumps(prediction)) if prediction is not None else 0
    return OutputBound(min(max(asked), model_max) if asked else model_max, answers, predicted)


def _part(part: object, index: int) -> tuple[int, int]:
    if isinstance(part, str):
        return _length(part), 0
    if not isinstance(part, dict):
        raise BadRequest(f"messages[{index}].content holds something that is no content part.", param="messages")
    if part.get("type") in {"image_url", "input_image"}:
        return 0, 1
    if part.get("type") == "input_audio":
        raise BadRequest("Audio input is not offered here.", param="messages")
    text = part.get("text")
    if isinstance(text, str) and len(part) == 2:
        return _length(text), 0
    return len(orjson.dumps(part)), 0


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _positive(request: Mapping[str, object], name: str, most: int) -> int:
    value = request[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadRequest(f"{name} must be a whole number from 1 to {most:,}.", param=name)
    return value
