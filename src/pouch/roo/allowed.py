"""The providers that an organization allows, as its owners write them: one on each line, with its models if not all."""

import re
from collections.abc import Mapping, Sequence

from pouch.base.errors import InvalidInput

PROVIDERS_MAX = 60
MODELS_MAX = 100
_PROVIDER = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
_MODEL = re.compile(r"[A-Za-z0-9@][A-Za-z0-9@._:/-]{0,126}", re.ASCII)


def read_allowed(text: str) -> dict[str, list[str]]:
    """Read "provider" and "provider: model, model" lines. Raises InvalidInput for what is neither."""
    allowed: dict[str, list[str]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(":")
        models = [each.strip() for each in rest.split(",") if each.strip()]
        if not _PROVIDER.fullmatch(name.strip()) or not all(map(_MODEL.fullmatch, models)) or len(models) > MODELS_MAX:
            raise InvalidInput(f"“{line[:60]}” is not a provider such as roo, or roo: model, model.", field="allowed")
        allowed[name.strip()] = models
    if len(allowed) > PROVIDERS_MAX:
        raise InvalidInput(f"At most {PROVIDERS_MAX} providers can be named.", field="allowed")
    return allowed


def write_allowed(allowed: Mapping[str, Sequence[str]]) -> str:
    """Write them as they are read."""
    return "\n".join(f"{name}: {', '.join(models)}" if models else name for name, models in allowed.items())
