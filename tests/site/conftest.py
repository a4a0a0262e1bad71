from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from pouch.settings import Settings
from support.site import OpenSite, Site, opened


@pytest.fixture
def open_site(database_url: str, tmp_path: Path) -> OpenSite:
    """`async with open_site() as site`. `config` is pouch.toml.

    `models=False` leaves the test models out, `agents=False` the agents.
    """

    def open_(
        config: str = "",
        *,
        sells: bool = True,
        models: bool = True,
        agents: bool = True,
        delay_ms: int = 0,
        port: int = 8080,
    ) -> AbstractAsyncContextManager[Site]:
        file = tmp_path / "pouch.toml"
        file.write_text(config)
        return opened(
            database_url,
            Settings(config=str(file), port=port),
            sells=sells,
            models=models,
            agents=agents,
            delay_ms=delay_ms,
        )

    return open_
