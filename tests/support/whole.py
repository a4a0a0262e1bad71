"""What a conftest.py takes over whose tests drive a whole Pouch: it in one piece, and its words beside a failure."""

from collections.abc import Generator, Iterator

import pytest

from support.pouch import RunningPouch

LOG_CHARACTERS = 20_000
TIMEOUT_S = 300


@pytest.fixture(scope="session")
def pouch() -> Iterator[RunningPouch]:
    """One Pouch that all tests of a folder share; each brings people of its own."""
    with RunningPouch() as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what a Pouch said beside the failure of a test that used it."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for value in item.funcargs.values():
            if isinstance(value, RunningPouch):
                report.sections.append(("what Pouch said", value.log()[-LOG_CHARACTERS:]))
    return report


def are_journeys(items: list[pytest.Item], folder: str) -> None:
    """Mark the tests of a folder that need a whole Pouch: they take longer than those of one room."""
    for item in items:
        if isinstance(item, pytest.Function) and f"/{folder}/" in str(item.path) and "pouch" in item.fixturenames:
            item.add_marker(pytest.mark.journey)
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
