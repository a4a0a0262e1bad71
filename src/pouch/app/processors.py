"""Who takes the cards: Stripe, the embedded processor, or nobody."""

from typing import Literal

from pouch.embedded.ends import Ends
from pouch.payments.processor import Processor
from pouch.settings import Settings, SettingsError

Kind = Literal["stripe", "embedded", "none"]
CARDS_PATH = "/embedded/cards"


def processor_kind(settings: Settings, ends: Ends | None) -> Kind:
    """Decide by `[payments] processor`, else by what is there.

    In words: a Stripe key means Stripe. Without one, the embedded processor plays the bank as long as everything stays
    on this machine and no real upstream costs real money; else there is none, and credits come from grants only.
    Raises SettingsError for what would take play money for real work, or real money over plain http.
    """
    file = settings.file
    may_embed = ends is not None and settings.is_loopback
    asked = file.payments.processor
    if asked is None:
        if settings.stripe_secret_key is not None:
            asked = "stripe"
        else:
            asked = "embedded" if may_embed and not file.upstreams else "none"
    if asked == "stripe":
        _check_stripe(settings)
    if asked == "embedded":
        if not may_embed:
            raise SettingsError(
                'processor = "embedded" takes play money: it runs only under `pouch up`, with POUCH_HOST and '
                "POUCH_PUBLIC_URL on this machine. Set POUCH_STRIPE_SECRET_KEY to take real cards."
            )
        if file.upstreams and not file.embedded.i_know_this_is_play_money:
            raise SettingsError(
                'processor = "embedded" would sell real upstreams for play money. Set POUCH_STRIPE_SECRET_KEY, or '
                "say so: [embedded] i_know_this_is_play_money = true."
            )
    return asked


def make_processor(settings: Settings, ends: Ends | None) -> Processor | None:
    """The processor that `processor_kind` names. None when cards are not taken."""
    match processor_kind(settings, ends):
        case "none":
            return None
        case "embedded":
            assert ends is not None
            return Processor(
                kind="embedded",
                secret_key=ends.stripe_secret_key,
                webhook_secret=ends.stripe_webhook_secret,
                api_base=f"{settings.loopback_url}{CARDS_PATH}",
            )
        case "stripe":
            assert settings.stripe_secret_key is not None
            secret = settings.stripe_webhook_secret
            return Processor(
                kind="stripe",
                secret_key=settings.stripe_secret_key.get_secret_value(),
                webhook_secret=secret.get_secret_value() if secret is not None else None,
                api_base=settings.file.payments.stripe_api_base,
            )


def play_money_banner(settings: Settings, kind: Kind) -> str | None:
    """The warning for every page when play money buys calls of real upstreams."""
    if kind == "embedded" and settings.file.upstreams:
        return "Test mode: credits here are bought with test cards. No bank is asked and no money moves."
    return None


def _check_stripe(settings: Settings) -> None:
    key = settings.stripe_secret_key.get_secret_value() if settings.stripe_secret_key is not None else ""
    if not key:
        raise SettingsError('processor = "stripe" needs POUCH_STRIPE_SECRET_KEY.')
    if key.startswith(("sk_live_", "rk_live_")) and not settings.is_https:
        raise SettingsError("A live Stripe key needs an https address: set POUCH_PUBLIC_URL=https://…")
