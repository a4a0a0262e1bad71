-- A run that starts by itself, again and again: each day, or each week on a day, at a time (UTC). `next_at` is its due_at.
CREATE TABLE agent_schedules (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    person_id       uuid NOT NULL,
    name            text NOT NULL CONSTRAINT agent_schedules_named CHECK (name <> ''),
    fields          jsonb NOT NULL,
    environment_id  uuid,
    weekday         integer CONSTRAINT agent_schedules_weekday CHECK (weekday BETWEEN 0 AND 6),
    minute          integer NOT NULL CONSTRAINT agent_schedules_minute CHECK (minute BETWEEN 0 AND 1439),
    is_on           boolean NOT NULL DEFAULT true,
    last_run_id     uuid,
    told            text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at      timestamptz,

    -- What every row that a job moves has (jobs/README.md).
    state           text NOT NULL DEFAULT 'waiting' CONSTRAINT agent_schedules_state CHECK (state IN ('waiting', 'off')),
    due_at          timestamptz,
    lease_until     timestamptz,
    epoch           bigint NOT NULL DEFAULT 0,
    attempts        integer NOT NULL DEFAULT 0,
    error           text NOT NULL DEFAULT '',
    CONSTRAINT agent_schedules_due_while_on CHECK ((due_at IS NOT NULL) = (is_on AND deleted_at IS NULL))
);
CREATE INDEX agent_schedules_due ON agent_schedules (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX agent_schedules_of_organization ON agent_schedules (organization_id) WHERE deleted_at IS NULL;
