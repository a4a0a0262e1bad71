"""Read a chat completion request: what is asked for, and how many words it holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from pouch.catalog.test_models import CONTEXT_WINDOW, MAX_TOKENS


class Refused(Exception):
    """The request cannot be answered; the client gets these words in OpenAI's shape."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the client offers, with the JSON schema of its arguments."""

    name: str
    parameters: Mapping[str, object]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One request, read. A word is what whitespace separates; it counts as one token."""

    model: str
    prompt_words: int
    last_user_words: Sequence[str]
    tool_results: int
    max_words: int = MAX_TOKENS
    is_stream: bool = False
    include_usage: bool = False
    tools: Sequence[Tool] = field(default=())


def read_question(body: bytes) -> Question:
    """Read a request body. Raises Refused, with the status a real server would give."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "The body is not valid JSON.") from error
    if not isinstance(request, dict):
        raise Refused(400, "The body is not a JSON object.")
    model, messages = request.get("model"), request.get("messages")
    if not isinstance(model, str):
        raise Refused(400, "model is missing.", param="model")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise Refused(400, "messages must be a list with at least one message.", param="messages")
    if request.get("n") not in {None, 1}:
        raise Refused(400, "The test models give one choice; leave n out.", param="n")

    words = [list(_words(message.get("content"))) for message in messages]
    if (total := sum(map(len, words))) > CONTEXT_WINDOW:
        raise Refused(
            400,
            f"This model's maximum context length is {CONTEXT_WINDOW} tokens, but the messages have {total}.",
            code="context_length_exceeded",
            param="messages",
        )
    roles = [message.get("role") for message in messages]
    options = request.get("stream_options")
    return Question(
        model=model,
        prompt_words=total,
        last_user_words=next((said for role, said in zip(roles[::-1], words[::-1], strict=True) if role == "user"), []),
        tool_results=roles.count("tool"),
        max_words=min(_limit(request, "max_tokens"), _limit(request, "max_completion_tokens"), MAX_TOKENS),
        is_stream=request.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        tools=tuple(_tools(request.get("tools"), request.get("tool_choice"))),
    )


def _words(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield from content.split()
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and part.get("type") == "text" and isinstance(text := part.get("text"), str):
                yield from text.split()


def _limit(request: Mapping[str, object], name: str) -> int:
    value = request.get(name)
    if value is None:
        return MAX_TOKENS
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refused(400, f"{name} must be a whole number of at least 1.", param=name)
    return value


def _tools(offered: object, choice: object) -> Iterator[Tool]:
    if choice == "none" or offered is None:
        return
    if not isinstance(offered, list):
        raise Refused(400, "tools must be a list.", param="tools")
    wanted = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    for entry in offered:
        function = entry.get("function") if isinstance(entry, dict) else None
        if not isinstance(function, dict) or not isinstance(name := function.get("name"), str):
            raise Refused(400, "Each tool needs a function with a name.", param="tools")
        parameters = function.get("parameters")
        if wanted in {None, name}:
            description = function.get("description")
            yield Tool(
                name,
                parameters if isinstance(parameters, dict) else {},
                description if isinstance(description, str) else "",
            )
