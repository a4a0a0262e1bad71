-- Which program a call came from, and for which task of an agent (X-Roo-Task-ID); empty where the caller said nothing.
ALTER TABLE usage_calls ADD COLUMN app text NOT NULL DEFAULT '';
ALTER TABLE usage_calls ADD COLUMN task_id text NOT NULL DEFAULT '';

-- The Usage page shows the calls of one task.
CREATE INDEX usage_calls_of_task ON usage_calls (organization_id, task_id, started_at DESC) WHERE task_id <> '';
