"""A whole Pouch for the official SDKs, and Node with its SDK as npm installs it."""

import pytest

from sdks.node_sdk import NodeSdk
from support.whole import are_journeys, pouch, pytest_runtest_makereport

__all__ = ["node_sdk", "pouch", "pytest_collection_modifyitems", "pytest_runtest_makereport"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    are_journeys(items, "sdks")


@pytest.fixture(scope="session")
def node_sdk() -> NodeSdk:
    sdk = NodeSdk()
    sdk.install()
    return sdk
