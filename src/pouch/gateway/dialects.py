"""What is changed in a request because the server it goes to would refuse it.

Roo Code and its like send the same body to every model: `reasoning` as OpenRouter words it, the `reasoning_details` of
earlier answers, strict tools, a temperature. In words, by the upstream's dialect:

- **as_is**: nothing is changed.
- **openai**: `max_tokens` becomes `max_completion_tokens`, `reasoning` becomes `reasoning_effort`, and the reasoning of
  earlier answers is left out.
- **plain**: `max_completion_tokens` becomes `max_tokens`, and reasoning and `strict` are left out everywhere.

A model's `drops` are left out as well. What bounds the output is renamed, never left out: the hold counts on it.
"""

from collections.abc import Mapping

from pouch.catalog.types import Model

_REASONING_OF_ANSWERS = ("reasoning", "reasoning_details", "reasoning_content")


def adapt(body: dict[str, object], model: Model) -> None:
    """Change the body, which is a copy of the caller's at its first level only, for the model's server."""
    match model.upstream.dialect:
        case "as_is":
            pass
        case "openai":
            _rename(body, "max_tokens", "max_completion_tokens")
            effort = _effort(body.pop("reasoning", None))
            if effort is not None:
                _set(body, "reasoning_effort", effort)
            _forget_reasoning(body)
        case "plain":
            _rename(body, "max_completion_tokens", "max_tokens")
            for name in ("reasoning", "reasoning_effort"):
                body.pop(name, None)
            _forget_reasoning(body)
            _loosen_tools(body)
    for name in model.drops:
        body.pop(name, None)


def _rename(body: dict[str, object], theirs: str, ours: str) -> None:
    value = body.pop(theirs, None)
    if value is not None:
        _set(body, ours, value)


def _set(body: dict[str, object], name: str, value: object) -> None:
    # A null says nothing: what was said under the other name counts.
    if body.get(name) is None:
        body[name] = value


def _effort(reasoning: object) -> str | None:
    if not isinstance(reasoning, Mapping) or reasoning.get("enabled") is False:
        return None
    effort = reasoning.get("effort")
    return effort if isinstance(effort, str) else None


def _forget_reasoning(body: dict[str, object]) -> None:
    body.pop("include_reasoning", None)
    messages = body.get("messages")
    if isinstance(messages, list):
        body["messages"] = [_without(message, _REASONING_OF_ANSWERS) for message in messages]


def _loosen_tools(body: dict[str, object]) -> None:
    tools = body.get("tools")
    if isinstance(tools, list):
        body["tools"] = [_loosened(tool) for tool in tools]


def _loosened(tool: object) -> object:
    if not isinstance(tool, dict) or not isinstance(tool.get("function"), dict):
        return tool
    return {**tool, "function": _without(tool["function"], ("strict",))}


def _without(document: object, names: tuple[str, ...]) -> object:
    if not isinstance(document, dict) or document.keys().isdisjoint(names):
        return document
    return {name: value for name, value in document.items() if name not in names}
