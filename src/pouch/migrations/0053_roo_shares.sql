-- A link to a task for others: for anybody who has it, or for the members of the task's organization. What opens it is a
-- signature of its id, which is not kept. It ends when it is revoked, at `expires_at`, or with the task.
CREATE TABLE roo_shares (
    id          uuid PRIMARY KEY,
    task_id     uuid NOT NULL REFERENCES roo_tasks (id) ON DELETE CASCADE,
    visibility  text NOT NULL CONSTRAINT roo_shares_known_visibility CHECK (visibility IN ('organization', 'public')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
);

CREATE INDEX roo_shares_of_task ON roo_shares (task_id);
