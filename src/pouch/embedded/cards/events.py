"""Writing what happened, in the transaction in which it happened."""

from pouch.embedded.cards import store
from pouch.embedded.cards.place import Desk
from pouch.embedded.cards.shapes import show
from pouch.embedded.cards.types import Event, Row, new_id


async def tell(desk: Desk, type_: str, row: Row) -> None:
    """Write an event about `row` as it is now, and make its delivery due."""
    event = await store.add(desk.db, Event(id=new_id("evt"), created_at=desk.now, type=type_, object=show(row)))
    await desk.db.execute(
        """
        INSERT INTO cards_deliveries (event_seq, event_id, due_at)
        SELECT seq, id, created_at FROM cards_events WHERE id = %s
        """,
        (event.id,),
    )
