from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from billing.site import OpenSite, Site, opened


@pytest.fixture
def open_site(database_url: str, tmp_path: Path) -> OpenSite:
    """`async with open_site() as site`. `sells=False` for a Pouch without a card processor; `config` is pouch.toml."""

    def open_(
        *, sells: bool = True, config: str = "", port: int = 8080, payments: str = ""
    ) -> AbstractAsyncContextManager[Site]:
        return opened(database_url, tmp_path, sells=sells, config=config, port=port, payments=payments)

    return open_
