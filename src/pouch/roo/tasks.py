"""The history of tasks: written by editors while it is on, read, searched and deleted by whose it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import TupleRow

from pouch.base.database import Connection
from pouch.base.errors import NotFound
from pouch.base.ids import new_id
from pouch.base.languages import say
from pouch.base.money import Money
from pouch.identity.types import OrganizationId, PersonId
from pouch.roo.bodies import TooMuch
from pouch.roo.limits import MESSAGES_MAX, ROW_BYTES, TASK_BYTES_MAX, need_room
from pouch.roo.reported import About, Completion, Message

TITLE_LENGTH_MAX = 200
PAGE = 30
TOMBSTONE_DAYS = 90
"""How long a deleted task keeps its editor from bringing it back."""
FORGET_BATCH = 500


@dataclass(frozen=True, slots=True)
class Task:
    """A task, for a list or at the head of its page."""

    id: UUID
    person_id: PersonId
    email: str
    organization_id: OrganizationId
    organization: str
    is_personal: bool
    client_task_id: str
    title: str | None
    mode: str | None
    model: str | None
    provider: str | None
    repository: str | None
    tokens_in: int
    tokens_out: int
    cost: Money
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reader:
    """Who may read: a person's own tasks, and those of organizations where members see one another's."""

    person_id: PersonId
    open_organizations: tuple[OrganizationId, ...] = ()


async def task_of(
    db: Connection, person_id: PersonId, organization_id: OrganizationId, about: About, *, revives: bool = False
) -> UUID | None:
    """The task that an editor tells of, made when it is new. None when its person deleted it, unless this `revives` it.

    Raises TooMuch when the person's history is as large as it may be.
    """
    known = await db.execute(
        """
        UPDATE roo_tasks
           SET mode = coalesce(%(mode)s, mode), model = coalesce(%(model)s, model),
               provider = coalesce(%(provider)s, provider), repository = coalesce(%(repository)s, repository),
               updated_at = now(), deleted_at = CASE WHEN %(revives)s THEN NULL ELSE deleted_at END
         WHERE person_id = %(person)s AND client_task_id = %(name)s
        RETURNING id, deleted_at IS NOT NULL
        """,
        _values(person_id, about) | {"revives": revives},
    )
    if (row := await known.fetchone()) is not None:
        return None if row[1] else row[0]
    added = await db.execute(
        """
        INSERT INTO roo_tasks (id, person_id, organization_id, client_task_id, mode, model, provider, repository)
        VALUES (%(id)s, %(person)s, %(organization)s, %(name)s, %(mode)s, %(model)s, %(provider)s, %(repository)s)
        ON CONFLICT ON CONSTRAINT roo_tasks_one_per_person DO UPDATE SET updated_at = now()
        RETURNING id
        """,
        _values(person_id, about) | {"id": new_id(), "organization": organization_id},
    )
    row = await added.fetchone()
    assert row is not None
    task_id: UUID = row[0]
    await need_room(db, person_id)
    return task_id


async def keep_messages(db: Connection, task_id: UUID, messages: Sequence[Message]) -> None:
    """Keep messages. The same `ts` is a newer text of the same message; a part of one never replaces the whole.

    Raises TooMuch when the task is as long, or its person's history as large, as it may be.
    """
    newest: dict[int, Message] = {}
    for message in messages:
        if message.ts not in newest or newest[message.ts].is_partial or not message.is_partial:
            newest[message.ts] = message
    before = await _size(db, task_id, newest)
    await db.execute(
        """
        INSERT INTO roo_messages AS m (task_id, ts, kind, about, text, images, is_partial)
        SELECT %(task)s, * FROM unnest(%(ts)s::bigint[], %(kinds)s::text[], %(abouts)s::text[], %(texts)s::text[],
                                       %(images)s::int[], %(partials)s::boolean[])
        ON CONFLICT (task_id, ts) DO UPDATE
           SET kind = excluded.kind, about = excluded.about, text = excluded.text, images = excluded.images,
               is_partial = excluded.is_partial
         WHERE m.is_partial OR NOT excluded.is_partial
        """,
        {
            "task": task_id,
            "ts": list(newest),
            "kinds": [message.kind for message in newest.values()],
            "abouts": [message.about for message in newest.values()],
            "texts": [message.text for message in newest.values()],
            "images": [message.images for message in newest.values()],
            "partials": [message.is_partial for message in newest.values()],
        },
    )
    after = await _size(db, task_id, newest)
    sized = await db.execute(
        """
        UPDATE roo_tasks AS t
           SET size_bytes = size_bytes + %(bytes)s, messages = messages + %(count)s,
               title = coalesce(title, (
                   SELECT left(regexp_replace(btrim(text), '\\s+', ' ', 'g'), %(length)s) FROM roo_messages
                    WHERE task_id = t.id AND text <> '' ORDER BY ts LIMIT 1
               ))
         WHERE id = %(task)s
        RETURNING size_bytes, messages, person_id
        """,
        {
            "bytes": after[0] - before[0],
            "count": after[1] - before[1],
            "length": TITLE_LENGTH_MAX,
            "task": task_id,
        },
    )
    row = await sized.fetchone()
    if row is not None and (row[0] > TASK_BYTES_MAX or row[1] > MESSAGES_MAX):
        raise TooMuch("This task is too long to be kept whole.")
    if row is not None and after > before:
        await need_room(db, row[2])


async def count_completion(db: Connection, task_id: UUID, completion: Completion) -> None:
    """Count a call to a model. Told twice, it counts once. Raises TooMuch as `keep_messages` does."""
    counted = await db.execute(
        "INSERT INTO roo_completions (task_id, digest) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (task_id, completion.digest),
    )
    if counted.rowcount:
        summed = await db.execute(
            """
            UPDATE roo_tasks SET tokens_in = tokens_in + %s, tokens_out = tokens_out + %s, cost_nanos = cost_nanos + %s,
                   size_bytes = size_bytes + %s
             WHERE id = %s
            RETURNING person_id
            """,
            (completion.tokens_in, completion.tokens_out, completion.cost.nanos, ROW_BYTES, task_id),
        )
        if (row := await summed.fetchone()) is not None:
            await need_room(db, row[0])


async def complete(db: Connection, task_id: UUID) -> None:
    """Note that the task came to its end."""
    await db.execute("UPDATE roo_tasks SET completed_at = now() WHERE id = %s", (task_id,))


async def find_own(db: Connection, person_id: PersonId, client_task_id: str) -> Task:
    """A person's task by the editor's name for it. Raises NotFound."""
    return _one(
        await _select(db, "t.person_id = %(person)s AND t.client_task_id = %(name)s", person_id, name=client_task_id)
    )


async def find_task(db: Connection, reader: Reader, task_id: UUID) -> Task:
    """A task that the reader may read. Raises NotFound."""
    return _one(await _select(db, f"{_READABLE} AND t.id = %(task)s", reader, task=task_id))


async def list_tasks(db: Connection, reader: Reader, *, query: str = "", before: UUID | None = None) -> list[Task]:
    """The tasks that the reader may read and that hold all words of the query, the one that changed last first.

    `before` is the last task of the page before; one more than a page comes, to show that there is another.
    """
    return await _select(
        db,
        f"""
        {_READABLE}
        AND (%(query)s = '' OR to_tsvector('simple', coalesce(t.title, '') || ' ' || coalesce(t.repository, ''))
                @@ websearch_to_tsquery('simple', %(query)s)
             OR EXISTS (SELECT FROM roo_messages AS m
                         WHERE m.task_id = t.id AND m.words @@ websearch_to_tsquery('simple', %(query)s)))
        AND (%(before)s::uuid IS NULL
             OR (t.updated_at, t.id) < (SELECT updated_at, id FROM roo_tasks WHERE id = %(before)s))
        """,
        reader,
        query=query,
        before=before,
    )


async def messages_of(db: Connection, task_id: UUID) -> list[Message]:
    """The messages of a task, in order."""
    rows = await db.execute(
        "SELECT ts, kind, about, text, images, is_partial FROM roo_messages WHERE task_id = %s ORDER BY ts", (task_id,)
    )
    return [Message(*row) for row in await rows.fetchall()]


async def delete_task(db: Connection, person_id: PersonId, task_id: UUID) -> None:
    """Delete a person's task, its content and its links. Repeating it changes nothing.

    Raises NotFound for somebody else's.
    """
    if not await _empty(db, "id = %(task)s", person_id, task=task_id):
        rows = await db.execute("SELECT 1 FROM roo_tasks WHERE id = %s AND person_id = %s", (task_id, person_id))
        if await rows.fetchone() is None:
            raise NotFound(say("There is no such task."))


async def delete_tasks(db: Connection, person_id: PersonId) -> int:
    """Delete all tasks of a person, and say how many there were."""
    return await _empty(db, "true", person_id)


async def forget_person(db: Connection, person_id: PersonId) -> None:
    """Forget all tasks and settings of somebody who deletes their account."""
    await db.execute("DELETE FROM roo_tasks WHERE person_id = %s", (person_id,))
    await db.execute("DELETE FROM roo_person_settings WHERE person_id = %s", (person_id,))


async def forget_old_tasks(db: Connection) -> None:
    """Forget what nobody touched for as long as its person keeps tasks, and what was deleted long ago. In pieces."""
    await db.execute(
        """
        DELETE FROM roo_tasks WHERE id IN (
            SELECT t.id FROM roo_tasks t LEFT JOIN roo_person_settings s ON s.person_id = t.person_id
             WHERE t.updated_at < now() - make_interval(days => 1) AND (
                   t.updated_at < now() - make_interval(
                       days => CASE WHEN s.person_id IS NULL THEN 90 ELSE s.keep_days END)
                   OR t.deleted_at < now() - make_interval(days => %s))
             ORDER BY t.updated_at LIMIT %s
        )
        """,
        (TOMBSTONE_DAYS, FORGET_BATCH),
    )


_READABLE = "(t.person_id = %(person)s OR t.organization_id = ANY(%(open)s))"


async def _select(db: Connection, where: str, whose: PersonId | Reader, **values: str | UUID | None) -> list[Task]:
    reader = whose if isinstance(whose, Reader) else Reader(whose)
    rows = await db.execute(
        f"""
        SELECT t.id, t.person_id, p.email, t.organization_id, o.name, o.personal_of IS NOT NULL,
               t.client_task_id, t.title, t.mode,
               t.model, t.provider, t.repository, t.tokens_in, t.tokens_out, t.cost_nanos, t.created_at, t.updated_at,
               t.completed_at
          FROM roo_tasks t
          JOIN identity_people p ON p.id = t.person_id
          JOIN identity_organizations o ON o.id = t.organization_id
         WHERE t.deleted_at IS NULL AND {where}
         ORDER BY t.updated_at DESC, t.id DESC LIMIT {PAGE + 1}
        """.encode(),
        {"person": reader.person_id, "open": list(reader.open_organizations), **values},
    )
    return [_task(row) for row in await rows.fetchall()]


async def _empty(db: Connection, which: str, person_id: PersonId, **values: UUID) -> int:
    emptied = await db.execute(
        f"""
        UPDATE roo_tasks SET deleted_at = now(), title = NULL, mode = NULL, model = NULL, provider = NULL,
               repository = NULL, tokens_in = 0, tokens_out = 0, cost_nanos = 0, size_bytes = 0, messages = 0,
               completed_at = NULL
         WHERE person_id = %(person)s AND deleted_at IS NULL AND {which}
        RETURNING id
        """.encode(),
        {"person": person_id, **values},
    )
    ids = [row[0] for row in await emptied.fetchall()]
    for table in ("roo_messages", "roo_completions", "roo_shares"):
        await db.execute(f"DELETE FROM {table} WHERE task_id = ANY(%s)".encode(), (ids,))
    return len(ids)


async def _size(db: Connection, task_id: UUID, ts: Iterable[int]) -> tuple[int, int]:
    rows = await db.execute(
        """
        SELECT coalesce(sum(octet_length(text) + %s), 0), count(*) FROM roo_messages WHERE task_id = %s AND ts = ANY(%s)
        """,
        (ROW_BYTES, task_id, list(ts)),
    )
    row = await rows.fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _values(person_id: PersonId, about: About) -> dict[str, object]:
    return {
        "person": person_id,
        "name": about.client_task_id,
        "mode": about.mode,
        "model": about.model,
        "provider": about.provider,
        "repository": about.repository,
    }


def _one(found: Sequence[Task]) -> Task:
    if not found:
        raise NotFound(say("There is no such task."))
    return found[0]


def _task(row: TupleRow) -> Task:
    values = [*row]
    values[14] = Money(values[14])
    return Task(*values)
