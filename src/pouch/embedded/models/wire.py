"""An answer as OpenAI's chat completions put it on the wire: one JSON object, or a stream of events."""

import secrets
import time
from collections.abc import Iterator

import orjson

from pouch.embedded.models.answer import Answer
from pouch.embedded.models.question import Question, Refused

DONE = b"data: [DONE]\n\n"


class Wire:
    """Writes one completion. Every part of it carries the same id and time."""

    def __init__(self, question: Question, answer: Answer) -> None:
        self._question = question
        self._answer = answer
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def whole(self) -> bytes:
        """The answer in one piece."""
        message: dict[str, object] = {"role": "assistant", "content": "".join(self._answer.text)}
        if self._answer.tool_name:
            message["tool_calls"] = [self._call("".join(self._answer.arguments))]
        choice = {"index": 0, "message": message, "finish_reason": self._answer.finish_reason, "logprobs": None}
        return orjson.dumps({**self._head("chat.completion"), "choices": [choice], "usage": self._usage()})

    def opening(self) -> bytes:
        """The event before the first word."""
        return self._event({"role": "assistant", "content": ""}, None)

    def words(self) -> Iterator[bytes]:
        """One event for each word."""
        # Everything but the word is the same in every event, so it is written once.
        before, after = self._event({"content": "\0"}, None).split(rb'"\u0000"')
        for piece in self._answer.text:
            yield before + orjson.dumps(piece) + after
        for index, piece in enumerate(self._answer.arguments):
            call = {"function": {"arguments": piece}} if index else self._call(piece)
            yield self._event({"tool_calls": [{"index": 0, **call}]}, None)

    def closing(self) -> bytes:
        """What follows the last word: the reason, the usage if it was asked for, the end."""
        last = self._event({}, self._answer.finish_reason)
        if not self._question.include_usage:
            return last + DONE
        usage = {**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage()}
        return last + b"data: " + orjson.dumps(usage) + b"\n\n" + DONE

    def _event(self, delta: dict[str, object], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return b"data: " + orjson.dumps({**self._head("chat.completion.chunk"), "choices": [choice]}) + b"\n\n"

    def _head(self, kind: str) -> dict[str, object]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._question.model}

    def _call(self, arguments: str) -> dict[str, object]:
        function = {"name": self._answer.tool_name, "arguments": arguments}
        return {"id": f"call_{self._id[-8:]}_{self._question.tool_results}", "type": "function", "function": function}

    def _usage(self) -> dict[str, int]:
        asked, said = self._question.prompt_words, self._answer.words
        return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def refusal(error: Refused) -> bytes:
    """An error as OpenAI's clients read it."""
    body = {"message": error.message, "type": "invalid_request_error", "param": error.param, "code": error.code}
    return orjson.dumps({"error": body})
