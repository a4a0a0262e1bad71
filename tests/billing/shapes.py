"""As much of JSON Schema as the API's document uses; anything else in it is an error."""

import re
from datetime import datetime
from typing import Any

KNOWN = {
    "type", "pattern", "format", "enum", "minimum", "maximum", "minLength", "maxLength", "properties", "required",
    "additionalProperties", "items", "$ref",
}  # fmt: skip
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


def problems(schema: dict[str, Any], value: Any, document: dict[str, Any], at: str = "$") -> list[str]:
    """What is wrong with a value."""
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    if "$ref" in schema:
        return problems(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], value, document, at)
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, TYPES[each]) and (each == "boolean" or not isinstance(value, bool)) for each in types):
        return [f"{at}: {value!r} is no {types}"]
    found: list[str] = []
    if isinstance(value, str):
        found += _text(schema, value, at)
    if isinstance(value, int) and value < schema.get("minimum", value):
        found.append(f"{at}: {value} is too small")
    if isinstance(value, list):
        for number, each in enumerate(value):
            found += problems(schema["items"], each, document, f"{at}[{number}]")
    if isinstance(value, dict):
        assert schema["additionalProperties"] is False
        found += [f"{at}: {name} is missing" for name in schema["required"] if name not in value]
        found += [f"{at}: {name} is not named" for name in value if name not in schema["properties"]]
        for name in value.keys() & schema["properties"].keys():
            found += problems(schema["properties"][name], value[name], document, f"{at}.{name}")
    return found


def _text(schema: dict[str, Any], value: str, at: str) -> list[str]:
    found = []
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{at}: {value!r} does not look like {schema['pattern']}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value!r} is none of {schema['enum']}")
    if schema.get("format") == "date-time" and datetime.fromisoformat(value).tzinfo is None:
        found.append(f"{at}: {value!r} has no zone")
    return found
