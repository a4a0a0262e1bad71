-- Where an organization wants to be told by HTTP that a run has ended or waits for credits, and what it checks us by.
CREATE TABLE agent_hooks (
    organization_id uuid PRIMARY KEY,
    url             text NOT NULL,
    sealed_secret   bytea NOT NULL,
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A row is one telling, written in the transaction that it speaks of.
CREATE TABLE agent_hook_deliveries (
    id          uuid PRIMARY KEY,
    run_id      uuid NOT NULL REFERENCES agent_runs (id),
    run_state   text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    state       text NOT NULL DEFAULT 'waiting' CONSTRAINT agent_hook_deliveries_state CHECK (state IN ('waiting', 'sent', 'failed')),
    due_at      timestamptz DEFAULT now(),
    lease_until timestamptz,
    epoch       bigint NOT NULL DEFAULT 0,
    attempts    integer NOT NULL DEFAULT 0,
    error       text NOT NULL DEFAULT ''
);
CREATE INDEX agent_hook_deliveries_due ON agent_hook_deliveries (due_at) WHERE due_at IS NOT NULL;
