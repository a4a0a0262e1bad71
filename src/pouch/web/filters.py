"""How pages write money, times and icons."""

from datetime import UTC, datetime
from functools import cache

from lucide.jinja import lucide
from markupsafe import Markup

from pouch.base.money import NANOS_PER_CENT, NANOS_PER_DOLLAR, Money

MINUS = "\N{MINUS SIGN}"
PLACES = 6
"""Decimals of a charge in a list. The whole truth, nine of them, is in the value of the `data` element around it."""


def dollars(amount: Money) -> str:
    """A balance or a payment: floored to the cent, and never shown as nothing when it is something."""
    cents, rest = divmod(abs(amount.nanos), NANOS_PER_CENT)
    sign = MINUS if amount.nanos < 0 else ""
    if cents == 0 and rest:
        return f"{sign}<$0.01"
    return f"{sign}${cents // 100:,}.{cents % 100:02d}"


def exact(amount: Money, places: int = PLACES) -> str:
    """A charge: at least two decimals and at most `places`, the last one rounded half up."""
    step = 10 ** (9 - places)
    shown = (abs(amount.nanos) + step // 2) // step * step
    sign = MINUS if amount.nanos < 0 else ""
    if shown == 0 and amount:
        return f"{sign}<{exact(Money(step), places)}"
    whole, part = divmod(shown, NANOS_PER_DOLLAR)
    return f"{sign}${whole:,}.{f'{part:09d}'[:places].rstrip('0').ljust(2, '0')}"


def aligned(amount: Money, places: int = PLACES) -> Markup:
    """`exact` with invisible zeros behind it, so that decimal points stand under each other."""
    text = exact(amount, places)
    missing = places - len(text.partition(".")[2])
    if not missing:
        return Markup.escape(text)
    return Markup('{}<span class="money__pad" aria-hidden="true">{}</span>').format(text, "0" * missing)


def when(at: datetime) -> str:
    """A time in UTC, such as "24 Nov 2026, 14:32". A table says once that its times are UTC."""
    moment = at.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def stamp(at: datetime) -> str:
    """The same for programs, as it stands in the `datetime` of a `time` element; pages show no more than minutes."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@cache
def icon(name: str, size: int = 16) -> Markup:
    """A line icon. It is decoration: the words beside it, or the label of its button, carry the meaning.

    How its lines are drawn stands once, in the style sheet (`.icon`), and not in each of a page's fifteen.
    """
    svg = " ".join(str(lucide(name)).split()).replace(" />", "/>").replace("> <", "><")
    lines = svg[svg.index(">") + 1 : svg.rindex("</svg>")].strip()
    frame = f'<svg class="icon" width="{size}" height="{size}" viewBox="0 0 24 24" aria-hidden="true">'
    # Our own constant of a trusted package, no input of anybody: so it needs no escaping.
    return Markup(f"{frame}{lines}</svg>")  # noqa: S704 -- see above
