"""The task history, for the file with everything that is kept about a person."""

from pouch.base.database import Connection
from pouch.base.ids import show_id
from pouch.identity.export import Json
from pouch.identity.organizations import owner_of
from pouch.identity.types import OrganizationId
from pouch.roo.tasks import PAGE, Reader, list_tasks, messages_of

TASKS_MAX = 10_000


async def export_tasks(db: Connection, organization_id: OrganizationId) -> Json:
    """All tasks of the person whose own organization this is, with what was said."""
    person_id = await owner_of(db, organization_id)
    found: list[Json] = []
    before = None
    while person_id is not None and len(found) < TASKS_MAX:
        tasks = await list_tasks(db, Reader(person_id), before=before)
        page = tasks[:PAGE]
        found += [
            {
                "id": show_id("task", task.id),
                "name_in_editor": task.client_task_id,
                "title": task.title,
                "organization": task.organization,
                "model": task.model,
                "provider": task.provider,
                "repository": task.repository,
                "tokens_in": task.tokens_in,
                "tokens_out": task.tokens_out,
                "cost_usd": task.cost.decimal(),
                "begun_at": task.created_at.isoformat(),
                "changed_at": task.updated_at.isoformat(),
                "messages": [
                    {"ts": message.ts, "type": message.kind, "about": message.about, "text": message.text}
                    for message in await messages_of(db, task.id)
                ],
            }
            for task in page
        ]
        if len(tasks) <= PAGE:
            break
        before = page[-1].id
    return found
