"""What goes over the wire to the card processor, and what its answers become."""

import subprocess
import sys
from pathlib import Path

import pytest

from payments.far_end import FarEnd
from payments.shop import Pouch, Shop
from pouch.embedded.cards.delivery import sign
from pouch.payments.errors import KeyNotTaken, NoSuchObject, NotSigned, ProcessorRefused, ProcessorSilent
from pouch.payments.processor import Processor
from pouch.payments.types import Mode, card_name

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("key", "mode"), [("sk_live_1", "live"), ("rk_live_1", "live"), ("sk_test_1", "test"), ("sk_test_a_live_1", "test")]
)
def test_the_key_says_whose_money_it_is(key: str, mode: Mode) -> None:
    assert Processor(kind="stripe", secret_key=key, webhook_secret=None, api_base="http://x").mode == mode


async def test_the_version_is_pinned_and_nothing_is_told_about_this_machine(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    async with FarEnd.before(shop.cards.api_base) as far_end:
        pouch = Pouch(shop.database, api_base=far_end.url)
        await shop.start(pouch=pouch)
        await pouch.processor.close()
    for head in far_end.heads:
        assert "stripe-version: 2026-10-28.endive" in head.lower()
        assert "telemetry" not in head.lower()
    assert list(tmp_path.rglob("*")) == []


async def test_unknown_and_refused_are_told_apart(shop: Shop) -> None:
    with pytest.raises(NoSuchObject):
        await shop.pouch.processor.find_session("cs_test_nowhere")
    wrong_key = Pouch(shop.database, api_base=shop.cards.api_base, secret_key="sk_test_wrong").processor
    with pytest.raises(KeyNotTaken):
        await wrong_key.find_session("cs_test_nowhere")
    with pytest.raises(ProcessorRefused):
        await shop.pouch.processor.detach("pm_nowhere")
    no_stripe = Pouch(shop.database, api_base=f"{shop.cards.api_base}/nowhere").processor
    with pytest.raises(ProcessorSilent):
        await no_stripe.find_session("cs_test_nowhere")
    for processor in (wrong_key, no_stripe):
        await processor.close()


async def test_without_a_webhook_secret_no_event_is_believed(shop: Shop) -> None:
    """Purchases are credited by the return page and the sweep then."""
    processor = Processor(kind="embedded", secret_key="sk_test_1", webhook_secret=None, api_base=shop.cards.api_base)
    with pytest.raises(NotSigned):
        await processor.read_event(b"{}", sign(b"{}", ""))
    await processor.close()


@pytest.mark.parametrize(
    ("brand", "last4", "name"),
    [
        ("visa", "4242", "Visa ending 4242"),
        ("amex", "0005", "American Express ending 0005"),
        ("cartes_bancaires", "1001", "Cartes bancaires ending 1001"),
        ("us_bank_account", "", "US bank account"),
        ("link", "", "Link"),
        ("", "", ""),
    ],
)
def test_a_card_has_a_name_for_people(brand: str, last4: str, name: str) -> None:
    assert card_name(brand, last4) == name


def test_the_sdk_is_loaded_only_by_who_pays() -> None:
    program = "import sys, pouch.payments.webhooks, pouch.payments.jobs; sys.exit('stripe' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
