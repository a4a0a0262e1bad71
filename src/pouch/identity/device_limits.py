"""What a signed-in program may spend: a limit in the ledger on its id, as a key has, set by whose program it is."""

from pouch.base.database import Connection
from pouch.base.errors import InvalidInput, NotFound
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.identity.devices import list_devices
from pouch.identity.types import Device, DeviceId, PersonId
from pouch.ledger.books import Period
from pouch.ledger.limits import remove_limits, set_limit


async def find_device(db: Connection, person_id: PersonId, device_id: DeviceId) -> Device:
    """A person's program that is signed in. Raises NotFound for any other."""
    found = next((device for device in await list_devices(db, person_id) if device.id == device_id), None)
    if found is None:
        raise NotFound(say("There is no such program."))
    return found


async def limit_device(
    db: Connection, person_id: PersonId, device_id: DeviceId, cap: Money | None, period: Period
) -> None:
    """Cap what a person's program may spend from now on, whoever pays; None lifts it.

    What it spent of the limit stays spent; a limit of another period begins at nothing. Raises NotFound and
    InvalidInput.
    """
    await db.execute("SELECT FROM identity_devices WHERE id = %s AND person_id = %s FOR UPDATE", (device_id, person_id))
    device = await find_device(db, person_id, device_id)
    if cap is not None and cap.nanos <= 0:
        raise InvalidInput(
            say("A limit is more than nothing. Leave it empty for a program without one."), field="limit"
        )
    if cap is None or device.limit is None or device.limit.period != period:
        await remove_limits(db, device_id)
    if cap is not None:
        await set_limit(db, device_id, kind="key", period=period, cap=cap)
