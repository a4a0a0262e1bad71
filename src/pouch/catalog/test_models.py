"""The three test models, with which every journey runs offline and costs can be checked by hand."""

from collections.abc import Mapping
from types import MappingProxyType

from pouch.base.money import Money
from pouch.catalog.store import ModelRow, UpstreamRow
from pouch.catalog.types import NanosPerMillion

TEST_UPSTREAM_ID = "test"
TEST_ID_PREFIX = "pouch/"
"""Model ids of ours; pouch.toml cannot use it."""

TEST_UPSTREAM = UpstreamRow(id=TEST_UPSTREAM_ID, kind="test", base_url=None, api_key_env=None)

CONTEXT_WINDOW = 32_768
MAX_TOKENS = 8_192

_PAID: NanosPerMillion = MappingProxyType({"input": Money.parse("1").nanos, "output": Money.parse("2").nanos})


def _test_model(position: int, name: str, description: str) -> ModelRow:
    model_id = TEST_ID_PREFIX + name.lower()
    return ModelRow(
        id=model_id,
        upstream_id=TEST_UPSTREAM_ID,
        upstream_model=model_id,
        name=f"Pouch {name}",
        description=f"Test model. {description}",
        owned_by="pouch",
        context_window=CONTEXT_WINDOW,
        max_tokens=MAX_TOKENS,
        position=position,
        is_test=True,
    )


TEST_MODELS: Mapping[ModelRow, NanosPerMillion | None] = MappingProxyType(
    {
        _test_model(0, "Free", "Repeats your last message word by word, for nothing."): None,
        _test_model(1, "Paid", "Repeats your last message word by word; each word is one token."): _PAID,
        _test_model(2, "Coder", "Plays a small coding session with the tools it is offered."): _PAID,
    }
)
"""Each test model and its prices in nano-dollars per million words; None: free."""
