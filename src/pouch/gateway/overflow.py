"""How the servers say that a conversation is longer than the model's context window.

Each kind words it in its own way, and clients know one: Roo Code and its forks shorten the conversation and ask again
when a 400 speaks of the context window. So all of them are told the same. The words were collected from the vendors'
documentation and from reports about OpenAI, Anthropic, Gemini, Bedrock, xAI, Mistral, Groq, OpenRouter, Together,
Cohere, MiniMax, Moonshot, Z.AI, Alibaba, GitHub, vLLM, SGLang, llama.cpp, LM Studio and Ollama.
"""

import re
from collections.abc import Mapping

from pouch.gateway.errors import TooLong

STATUSES = frozenset({400, 413, 422})

_CODES = frozenset(
    {
        "context_length_exceeded",
        "exceed_context_size_error",
        "model_context_window_exceeded",
        "request_too_large",
        "string_above_max_length",
    }
)
_WORDS = re.compile(
    r"prompt (?:is )?too long"
    r"|input (?:is )?too long"
    r"|input token count.{0,40}exceeds?"
    r"|maximum (?:context|prompt|model|sequence|input) length"
    r"|max(?:imum)? allowed input length"
    r"|maximum number of tokens allowed"
    r"|context (?:length|size|window|limit)"
    r"|context_length"
    r"|reduce the length of (?:the |your )?(?:messages|prompt|input)"
    r"|(?:input|prompt) tokens? exceeds?"
    r"|tokens? in (?:the )?(?:request|prompt) .{0,40}(?:exceed|more than)"
    r"|prompt token count.{0,40}exceeds?"
    r"|exceeded model token limit"
    r"|range of input length"
    r"|prompt exceeds (?:the )?(?:max|length)"
    r"|`?inputs`? tokens \+ `?max_new_tokens`? must be"
    r"|too many (?:input )?tokens(?! per)"
    r"|too large for model with",
    re.IGNORECASE,
)
_LOOKED_AT = 2_000


def is_overflow(document: object, status: int = 400) -> bool:
    """Whether an error document, or the bare status of an answer without one, says so."""
    if status == 413:
        return True
    error = document.get("error") if isinstance(document, Mapping) else None
    if not isinstance(error, Mapping):
        return isinstance(error, str) and _says_so(error)
    stated = error.get("code")
    if isinstance(stated, int) and stated not in STATUSES and 400 <= stated < 600:
        return False  # a limit of tokens in a minute is worded alike
    if not _CODES.isdisjoint(str(error.get(name)) for name in ("code", "type")):
        return True
    return _says_so(error.get("message"))


def too_long(said: str) -> TooLong:
    """The one way in which callers are told. Roo Code looks for “context window”."""
    return TooLong(
        f"This conversation exceeds the model's context window: too many tokens. The model's server said: {said}",
        param="messages",
    )


def _says_so(message: object) -> bool:
    return isinstance(message, str) and _WORDS.search(message, 0, _LOOKED_AT) is not None
