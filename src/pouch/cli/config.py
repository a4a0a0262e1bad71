"""`pouch config check`: what is in effect, without its secrets."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import BaseModel, SecretStr

from pouch.base.money import Money

if TYPE_CHECKING:
    from pouch.settings import File, Settings

config = typer.Typer(help="What the environment and pouch.toml say.", no_args_is_help=True)

VENDOR_KEYS = (
    "ANTHROPIC_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "CEREBRAS_API_KEY",
    "COHERE_API_KEY",
    "DEEPSEEK_API_KEY",
    "FIREWORKS_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "MOONSHOT_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "TOGETHER_API_KEY",
    "XAI_API_KEY",
)
"""Keys that people have in their environment for other programs too. Pouch sells nothing with them unasked."""

_PASSWORD_IN_ADDRESS = re.compile(r"(://[^:/?#]*:).*@")
_PASSWORD_FIELD = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]*)", re.IGNORECASE)


@config.command("check")
def check() -> None:
    """Check the environment and pouch.toml and print what is in effect. Secrets are not shown.

    For example:

      pouch config check
    """
    from pouch.catalog.wanted import read_wanted
    from pouch.cli.reading import read_settings

    settings = read_settings()
    read_wanted(settings.file, source=settings.config, with_test_models=False)
    for line in effective(settings, os.environ):
        typer.echo(line)


def effective(settings: "Settings", environment: Mapping[str, str]) -> Iterator[str]:
    """Every setting in effect, one per line; secrets only as "set"."""
    for name in type(settings).model_fields:
        if name != "under_up":
            yield _line(f"POUCH_{name.upper()}", getattr(settings, name))
    yield _line("public address", settings.url)
    is_there = bool(settings.config) and Path(settings.config).exists()
    yield _line("file", settings.config if is_there else "none, everything below is the default")
    for section, fields in settings.file:
        if isinstance(fields, BaseModel):
            yield from _section(section, fields)
    yield from _upstreams(settings.file, environment)


def _section(name: str, fields: BaseModel) -> Iterator[str]:
    for own, value in fields:
        path = f"{name}.{type(fields).model_fields[own].alias or own}"
        if isinstance(value, BaseModel):
            yield from _section(path, value)
        else:
            yield _line(path, value)


def _upstreams(file: "File", environment: Mapping[str, str]) -> Iterator[str]:
    for upstream in file.upstreams:
        key = upstream.api_key_env
        state = "no key" if key is None else f"{key}: {'set' if environment.get(key) else 'not set'}"
        count = sum(model.upstream == upstream.id for model in file.models)
        yield _line(f"upstream {upstream.id}", f"{upstream.base_url}, {count} models, {state}")
    named = {upstream.api_key_env for upstream in file.upstreams}
    for key in VENDOR_KEYS:
        if environment.get(key) and key not in named:
            yield _line(key, "seen, not used until pouch.toml names it")


def _line(name: str, value: object) -> str:
    return f"{name:<34} {_shown(value)}"


def _shown(value: object) -> str:
    match value:
        case None | () | "":
            return "not set"
        case SecretStr():
            return "set"
        case bool():
            return "yes" if value else "no"
        case Money():
            return str(value)
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return _without_password(str(value))


def _without_password(text: str) -> str:
    # A database's or a relay's address may carry one, and this output ends up in bug reports.
    return _PASSWORD_FIELD.sub(r"\1***", _PASSWORD_IN_ADDRESS.sub(r"\1***@", text))
