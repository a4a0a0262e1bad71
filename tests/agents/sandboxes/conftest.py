"""A folder for the places of sandboxes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sandboxes import places


@pytest.fixture
def root() -> Iterator[Path]:
    with places() as folder:
        yield folder
