"""Checkout sessions: create, expire."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from pouch.embedded.cards import setups, store
from pouch.embedded.cards.endpoints.amounts import check_amount, read_currency
from pouch.embedded.cards.endpoints.call import Call, find_named
from pouch.embedded.cards.errors import Refusal, not_there
from pouch.embedded.cards.form import Form
from pouch.embedded.cards.idempotency import Answer
from pouch.embedded.cards.sessions import expire as expire_session
from pouch.embedded.cards.types import CURRENCY, Customer, Json, Session, new_id

TAX_PERCENT = 10
"""Of everything, everywhere: what `automatic_tax` works out here."""
LIFE_MIN, LIFE_MAX = timedelta(minutes=30), timedelta(hours=24)
METHOD_TYPES = ["card", "us_bank_account"]
_LOOKS_ONLY = (
    "locale",
    "submit_type",
    "billing_address_collection",
    "custom_text",
    "adaptive_pricing",
    "branding_settings",
)


async def create(call: Call) -> Answer:
    """POST /v1/checkout/sessions, on the hosted page: to pay, or to save a card."""
    form = call.form
    form.skip(*_LOOKS_ONLY)
    mode = form.one_of("mode", "payment", "setup") or "payment"
    _only(form, "ui_mode", "hosted_page")
    customer_id = await find_named(call, Customer, "customer")
    computes_tax = _computes_tax(form, customer_id)
    email = form.text("customer_email", length_max=512)
    if customer_id is not None and email is not None:
        raise Refusal("You may only specify one of these parameters: customer, customer_email.", param="customer")
    if mode == "setup":
        return await _create_setup(call, customer_id, email)
    items = [_read_item(item) for item in form.items("line_items")]
    amount = sum(cents for cents, _ in items)
    tax = (amount * TAX_PERCENT + 50) // 100 if computes_tax else 0
    intent_data = form.group("payment_intent_data")
    keeps_card = intent_data.one_of("setup_future_usage", "on_session", "off_session")
    session_id = new_id("cs_test", 58)
    session = Session(
        id=session_id,
        created_at=call.desk.now,
        expires_at=_expires_at(call),
        status="open",
        payment_status="unpaid",
        amount_cents=check_amount(amount + tax, "line_items"),
        line_items=[shown for _, shown in items],
        method_types=_method_types(form),
        customer_id=customer_id,
        makes_customer=form.one_of("customer_creation", "always", "if_required") == "always" or keeps_card is not None,
        email=email or await _email_of(call, customer_id),
        client_reference_id=form.text("client_reference_id", length_max=200),
        intent_id=None,
        intent_metadata=intent_data.metadata(),
        intent_description=intent_data.text("description", length_max=1000),
        receipt_email=intent_data.text("receipt_email", length_max=512),
        setup_future_usage=keeps_card,
        url=f"{call.desk.place.pages_url}/pay/{session_id}",
        success_url=_url(form, "success_url", form.needed("success_url")),
        cancel_url=_url(form, "cancel_url", cancel) if (cancel := form.text("cancel_url")) else None,
        metadata=form.metadata(),
        computes_tax=computes_tax,
        tax_cents=tax,
    )
    return await call.reply(await store.add(call.db, session))


async def _create_setup(call: Call, customer_id: str | None, email: str | None) -> Answer:
    form, session_id = call.form, new_id("cs_test", 58)
    if form.text("currency") is None and not form.texts("payment_method_types"):
        raise Refusal(
            "`currency` is needed in setup mode, unless the payment method types are named.", param="currency"
        )
    form.skip("payment_method_types")
    setup_data = form.group("setup_intent_data")
    wish = setups.Wish(
        customer_id=customer_id,
        description=setup_data.text("description", length_max=1000),
        metadata=setup_data.metadata(),
    )
    setup = await setups.open_setup(call.desk, wish)
    session = Session(
        id=session_id,
        created_at=call.desk.now,
        mode="setup",
        setup_id=setup.id,
        expires_at=_expires_at(call),
        status="open",
        payment_status="no_payment_required",
        amount_cents=0,
        line_items=[],
        method_types=["card"],
        customer_id=customer_id,
        makes_customer=False,
        email=email or await _email_of(call, customer_id),
        client_reference_id=form.text("client_reference_id", length_max=200),
        intent_id=None,
        intent_metadata={},
        intent_description=None,
        receipt_email=None,
        setup_future_usage=None,
        url=f"{call.desk.place.pages_url}/pay/{session_id}",
        success_url=_url(form, "success_url", form.needed("success_url")),
        cancel_url=_url(form, "cancel_url", cancel) if (cancel := form.text("cancel_url")) else None,
        metadata=form.metadata(),
        computes_tax=False,
        tax_cents=0,
    )
    return await call.reply(await store.add(call.db, session))


async def expire(call: Call) -> Answer:
    """POST /v1/checkout/sessions/{id}/expire."""
    session = await store.lock(call.db, Session, call.id)
    if session is None:
        raise not_there("checkout.session", call.id)
    if session.status != "open":
        raise Refusal(
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Checkout Session has a status of {session.status}."
        )
    return await call.reply(await expire_session(call.desk, session))


def _computes_tax(form: Form, customer_id: str | None) -> bool:
    """Whether tax is to be worked out, by Stripe's rules about what may be kept with a customer who exists."""
    automatic, tax_id = form.group("automatic_tax"), form.group("tax_id_collection")
    update = form.group("customer_update")
    computes, collects = automatic.flag("enabled"), tax_id.flag("enabled")
    address = update.one_of("address", "auto", "never") == "auto"
    name = update.one_of("name", "auto", "never") == "auto"
    if customer_id is None and (address or name):
        raise Refusal("`customer_update` can only be used with `customer`.", param="customer_update")
    if customer_id is not None and computes and not address:
        raise Refusal(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to "
            "the Customer or set `customer_update[address]` to 'auto' to save the address entered in Checkout.",
            code="customer_tax_location_invalid",
            param="automatic_tax",
        )
    if customer_id is not None and collects and not name:
        raise Refusal(
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an "
            "existing customer, please set `customer_update[name]` to `auto`.",
            param="tax_id_collection",
        )
    return computes


def _only(form: Form, key: str, supported: str) -> None:
    if form.text(key) not in {None, supported}:
        raise Refusal(f"This processor only knows {form.name(key)}={supported}.", param=form.name(key))


def _read_item(item: Form) -> tuple[int, Json]:
    price, quantity = item.group("price_data"), item.whole("quantity") or 1
    price.one_of("tax_behavior", "exclusive")
    read_currency(price, "currency")
    unit, product = price.whole("unit_amount") or 0, price.group("product_data")
    name, description = product.needed("name"), product.text("description")
    cents = unit * quantity
    shown: Json = {
        "id": new_id("li"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": cents,
        "amount_tax": 0,
        "amount_total": cents,
        "currency": CURRENCY,
        "description": name,
        "price": {
            "id": new_id("price"),
            "object": "price",
            "currency": CURRENCY,
            "livemode": False,
            "metadata": {"description": description} if description else {},
            "type": "one_time",
            "unit_amount": unit,
        },
        "quantity": quantity,
    }
    return cents, shown


def _method_types(form: Form) -> list[str]:
    types = form.texts("payment_method_types") or METHOD_TYPES
    for type_ in types:
        if type_ not in METHOD_TYPES:
            raise Refusal(f"The payment method type {type_!r} is not known here.", param="payment_method_types")
    return types


def _expires_at(call: Call) -> datetime:
    asked = call.form.whole("expires_at")
    if asked is None:
        return call.desk.now + LIFE_MAX
    # Whole seconds on both sides: the client could not say it more exactly.
    life = timedelta(seconds=asked - int(call.desk.now.timestamp()))
    if not LIFE_MIN <= life <= LIFE_MAX:
        raise Refusal(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.",
            param="expires_at",
        )
    return datetime.fromtimestamp(asked, UTC)


async def _email_of(call: Call, customer_id: str | None) -> str | None:
    customer = await store.find(call.db, Customer, customer_id)
    return customer.email if customer else None


def _url(form: Form, key: str, text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise Refusal("Not a valid URL", code="url_invalid", param=form.name(key))
    return text
