"""Customers: create, update."""

from pouch.embedded.cards import store
from pouch.embedded.cards.endpoints.call import Call
from pouch.embedded.cards.errors import Refusal, not_there
from pouch.embedded.cards.events import tell
from pouch.embedded.cards.idempotency import Answer
from pouch.embedded.cards.types import Customer, Method, new_id


async def create(call: Call) -> Answer:
    """POST /v1/customers."""
    form = call.form
    customer = await store.add(
        call.db,
        Customer(
            id=new_id("cus", 14),
            created_at=call.desk.now,
            email=form.text("email", length_max=512),
            name=form.text("name", length_max=256),
            description=form.text("description"),
            default_method_id=None,
            metadata=form.metadata(),
        ),
    )
    await tell(call.desk, "customer.created", customer)
    return await call.reply(customer)


async def update(call: Call) -> Answer:
    """POST /v1/customers/{id}: only what is sent changes."""
    customer = await store.lock(call.db, Customer, call.id)
    if customer is None:
        raise not_there("customer", call.id)
    changes: dict[str, object] = {"metadata": call.form.metadata(customer.metadata)}
    for name in ("email", "name", "description"):
        if (value := call.form.text(name)) is not None:
            changes[name] = value
    if (method_id := await _default_method(call, customer)) is not None:
        changes["default_method_id"] = method_id
    customer = await store.change(call.db, customer, **changes)
    await tell(call.desk, "customer.updated", customer)
    return await call.reply(customer)


async def _default_method(call: Call, customer: Customer) -> str | None:
    settings = call.form.group("invoice_settings")
    name = settings.name("default_payment_method")
    method_id = settings.text("default_payment_method")
    method = await store.find(call.db, Method, method_id)
    if method_id is not None and (method is None or method.customer_id != customer.id):
        raise Refusal(f"The customer does not have a payment method with the ID {method_id}.", param=name)
    return method_id
