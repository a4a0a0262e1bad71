"""Make a value that fits a JSON schema, for calling tools nobody told us about."""

from collections.abc import Mapping

_DEPTH_MAX = 16


def example(schema: object, values: Mapping[str, object], *, name: str = "", depth: int = 0) -> object:
    """The plainest value the schema allows. Properties named in `values` get those; what may be null is null."""
    if not isinstance(schema, Mapping) or depth > _DEPTH_MAX:
        return None
    if "const" in schema:
        return schema["const"]
    if isinstance(options := schema.get("enum"), list) and options:
        return options[0]
    for combined in ("anyOf", "oneOf", "allOf"):
        if isinstance(options := schema.get(combined), list) and options:
            chosen = next((option for option in options if _may_be(option, "null")), options[0])
            return example(chosen, values, name=name, depth=depth + 1)
    if _may_be(schema, "null"):
        return None
    return _of_type(schema, values, name, depth)


def _of_type(schema: Mapping[str, object], values: Mapping[str, object], name: str, depth: int) -> object:
    if _may_be(schema, "object") or "properties" in schema or not depth:
        return _object(schema, values, depth)
    if _may_be(schema, "array"):
        return [example(schema["items"], values, name=name, depth=depth + 1)] if "items" in schema else []
    if name in values:
        return values[name]
    if _may_be(schema, "boolean"):
        return False
    if _may_be(schema, "integer") or _may_be(schema, "number"):
        return schema.get("minimum", 1)
    return name or "hello"


def _object(schema: Mapping[str, object], values: Mapping[str, object], depth: int) -> dict[str, object]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    required = schema.get("required")
    wanted = required if isinstance(required, list) else list(properties)
    return {key: example(properties[key], values, name=key, depth=depth + 1) for key in wanted if key in properties}


def _may_be(schema: object, kind: str) -> bool:
    if not isinstance(schema, Mapping):
        return False
    kinds = schema.get("type")
    return kind == kinds or (isinstance(kinds, list) and kind in kinds)
