"""What is kept of templates: quick to draw again, never stale, and no page is lost with it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from pouch.base import compiled
from pouch.base.compiled import compiled_templates

PAGE = "{{ 'a page'|louder }}"


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The only module of a program of the test's own: changing ours would spoil the tests beside this one."""
    module = tmp_path / "filters.py"
    module.write_text("louder = str.upper\n")
    monkeypatch.setattr(compiled, "CODE", tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    compiled.code_as_it_is.cache_clear()
    yield module
    compiled.code_as_it_is.cache_clear()


def draws(louder: object = str.upper) -> str:
    """What a process that starts now draws."""
    compiled.code_as_it_is.cache_clear()
    made = Environment(loader=DictLoader({"page": PAGE}), autoescape=True, bytecode_cache=compiled_templates())
    made.filters["louder"] = louder
    return made.get_template("page").render()


def kept(code: Path) -> list[Path]:
    return list((code.parent / "__pycache__" / "templates").iterdir())


@pytest.mark.usefixtures("code")
def test_the_second_process_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert draws() == "A PAGE"
    monkeypatch.setattr(Environment, "_parse", lambda *_: pytest.fail("compiled again"))
    assert draws() == "A PAGE"


def test_what_our_code_worked_out_is_forgotten_once_the_code_changes(code: Path) -> None:
    """The compiler calls filters of fixed words: their answers are part of what is kept."""
    assert draws() == "A PAGE"
    code.write_text("louder = str.title  # now\n")
    assert draws(str.title) == "A Page"
    assert len(kept(code)) == 1


@pytest.mark.parametrize("left_bytes", [0, 20, 60])
def test_half_a_file_is_compiled_anew(code: Path, left_bytes: int) -> None:
    draws()
    (file,) = kept(code)
    os.truncate(file, left_bytes)
    assert draws() == "A PAGE"


def test_without_a_place_for_it_pages_are_drawn_all_the_same(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = compiled_templates()
    shutil.rmtree(code.parent / "__pycache__")
    made = Environment(loader=DictLoader({"page": PAGE}), autoescape=True, bytecode_cache=cache)
    made.filters["louder"] = str.upper
    assert made.get_template("page").render() == "A PAGE"
    (code.parent / "__pycache__").write_text("a file, where a folder should be")
    assert compiled_templates() is None
    assert draws() == "A PAGE"
    (code.parent / "__pycache__").unlink()
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert compiled_templates() is None
