"""A whole Pouch for the journeys, and the browser of whoever walks them."""

from collections.abc import Generator, Iterator

import pytest

from support.pouch import RunningPouch

LOG_CHARACTERS = 20_000
JOURNEY_TIMEOUT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a whole Pouch is a journey, and takes longer than a test of one room."""
    for item in items:
        if "/journeys/" in str(item.path):
            item.add_marker(pytest.mark.journey)
            item.add_marker(pytest.mark.timeout(JOURNEY_TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what a Pouch said beside the failure of a test that used it."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for value in item.funcargs.values():
            if isinstance(value, RunningPouch):
                report.sections.append(("what Pouch said", value.log()[-LOG_CHARACTERS:]))
    return report


@pytest.fixture(scope="session")
def pouch() -> Iterator[RunningPouch]:
    """One Pouch that all journeys share; each brings people of its own."""
    with RunningPouch() as running:
        yield running


@pytest.fixture
def new_pouch() -> Iterator[RunningPouch]:
    """A Pouch that nobody has used yet."""
    with RunningPouch() as running:
        yield running
