"""Compiled templates, kept beside Python's own compiled files: who visits first after a start waits for no compiler."""

import sys
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError

from jinja2 import BytecodeCache, Environment, FileSystemBytecodeCache
from jinja2.bccache import Bucket

import pouch

CODE = Path(pouch.__file__).parent


class _Kept(FileSystemBytecodeCache):
    """Keeps what it can. A disk that takes no file, or gives back half of one, costs time and no page."""

    def get_bucket(self, environment: Environment, name: str, filename: str | None, source: str) -> Bucket:
        """Find a template by its name, its text and our code: a filter of ours may be worked out by the compiler."""
        return super().get_bucket(environment, name, filename, source + code_as_it_is())

    def load_bytecode(self, bucket: Bucket) -> None:
        """Find what was kept."""
        try:
            super().load_bytecode(bucket)
        except (OSError, EOFError, ValueError, UnpicklingError):
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template that was compiled just now."""
        with suppress(OSError):
            super().dump_bytecode(bucket)


def compiled_templates() -> BytecodeCache | None:
    """Where an environment keeps them; None where Python keeps no compiled files either, or must not write.

    Whoever can write there could change Pouch itself, as with `.pyc` files.
    """
    folder = CODE / "__pycache__" / "templates"
    if sys.dont_write_bytecode:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return _Kept(str(folder))


@cache
def code_as_it_is() -> str:
    """A mark that differs once any module of ours was changed, as Python tells by time and size."""
    facts = ((str(path), path.stat()) for path in sorted(CODE.rglob("*.py")))
    return sha256(repr([(path, fact.st_size, fact.st_mtime_ns) for path, fact in facts]).encode()).hexdigest()
