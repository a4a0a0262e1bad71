-- Cloud Agents: one row for each run, what it did, what it used, and how its time was paid.
-- Amounts are nano-dollars, running time is microseconds, billed time whole seconds. Times are the database's.

-- What all runs of an organization share. Its row is locked when a run starts and when one leaves the queue.
CREATE TABLE agent_organizations (
    organization_id uuid PRIMARY KEY,
    last_number     integer NOT NULL DEFAULT 0,
    running_max     integer CONSTRAINT agent_organizations_running_max CHECK (running_max > 0),
    day_cap_nanos   bigint CONSTRAINT agent_organizations_day_cap CHECK (day_cap_nanos >= 0)
);

-- A run. `start_key` is the key of one intention to start: sent twice it is one run. `task` is a person's words; it and
-- the events go when the person deletes them.
-- The meter: ran_us is the running time seen by a living worker until seen_at, held_to_s how far it is paid for in
-- advance, billed_s how far it is charged. Only the state `running` moves ran_us.
CREATE TABLE agent_runs (
    id                    uuid PRIMARY KEY,
    organization_id       uuid NOT NULL,
    person_id             uuid NOT NULL,
    number                integer NOT NULL,
    start_key             text NOT NULL,
    asked_hash            bytea NOT NULL,
    trigger               text NOT NULL CONSTRAINT agent_runs_trigger CHECK (trigger IN ('web', 'api', 'cli', 'schedule', 'github', 'retry')),
    retry_of              uuid,
    kind                  text NOT NULL CONSTRAINT agent_runs_kind CHECK (kind IN ('planner', 'explainer', 'reviewer', 'coder', 'fixer')),
    title                 text NOT NULL,
    task                  text NOT NULL,
    prompt                text NOT NULL DEFAULT '',
    model_id              text NOT NULL,
    engine                text NOT NULL,
    repository            text NOT NULL,
    branch                text NOT NULL,
    environment_id        uuid,
    price_id              uuid,
    price_nanos_per_hour  bigint NOT NULL CONSTRAINT agent_runs_price CHECK (price_nanos_per_hour >= 0),
    cap_nanos             bigint NOT NULL CONSTRAINT agent_runs_cap CHECK (cap_nanos > 0),
    time_limit_s          integer NOT NULL CONSTRAINT agent_runs_time_limit CHECK (time_limit_s > 0),

    state                 text NOT NULL DEFAULT 'queued' CONSTRAINT agent_runs_state CHECK (state IN (
                              'queued', 'starting', 'setup', 'running', 'waiting_user', 'paused', 'stopping',
                              'succeeded', 'failed', 'canceled', 'paused_no_credit', 'timed_out', 'interrupted')),
    reason                text NOT NULL DEFAULT '',
    wish                  text NOT NULL DEFAULT '' CONSTRAINT agent_runs_wish CHECK (wish IN ('', 'pause', 'resume', 'stop')),
    created_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    state_since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at              timestamptz,
    result                jsonb NOT NULL DEFAULT '{}',
    told_percent          integer NOT NULL DEFAULT 0,

    ran_us                bigint NOT NULL DEFAULT 0 CONSTRAINT agent_runs_ran CHECK (ran_us >= 0),
    seen_at               timestamptz,
    held_to_s             bigint NOT NULL DEFAULT 0,
    billed_s              bigint NOT NULL DEFAULT 0,
    last_slice            integer NOT NULL DEFAULT 0,
    last_seq              bigint NOT NULL DEFAULT 0,

    -- What every row that a job moves has (jobs/README.md).
    due_at                timestamptz DEFAULT now(),
    lease_until           timestamptz,
    epoch                 bigint NOT NULL DEFAULT 0,
    attempts              integer NOT NULL DEFAULT 0,
    error                 text NOT NULL DEFAULT '',

    CONSTRAINT agent_runs_started_once UNIQUE (organization_id, start_key),
    CONSTRAINT agent_runs_numbered UNIQUE (organization_id, number),
    CONSTRAINT agent_runs_billed_only_what_ran CHECK (billed_s >= 0 AND billed_s * 1000000 <= ran_us),
    CONSTRAINT agent_runs_billed_only_what_was_held CHECK (price_nanos_per_hour = 0 OR billed_s <= held_to_s),
    CONSTRAINT agent_runs_running_is_seen CHECK (state <> 'running' OR seen_at IS NOT NULL),
    CONSTRAINT agent_runs_over_is_over CHECK (
        (ended_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'canceled', 'timed_out', 'interrupted'))
        AND (ended_at IS NULL OR (due_at IS NULL AND lease_until IS NULL)))
);

-- The sweep and the queue read what is due; the pages an organization's newest runs.
CREATE INDEX agent_runs_due ON agent_runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX agent_runs_of_organization ON agent_runs (organization_id, number DESC);

-- How long a run was in which state; the last one is open until the next begins.
CREATE TABLE agent_run_spans (
    run_id   uuid NOT NULL REFERENCES agent_runs (id),
    number   integer NOT NULL,
    state    text NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (run_id, number)
);

-- A slice is a stretch of running time, from_s to to_s, that is set aside before it runs. Its hold's id is `hold_id`.
-- Captured, it charged the seconds from from_s to billed_to_s; released, it charged nothing.
CREATE TABLE agent_run_slices (
    run_id        uuid NOT NULL REFERENCES agent_runs (id),
    number        integer NOT NULL,
    hold_id       uuid NOT NULL CONSTRAINT agent_run_slices_one_hold UNIQUE,
    from_s        bigint NOT NULL,
    to_s          bigint NOT NULL CONSTRAINT agent_run_slices_forward CHECK (to_s > from_s),
    held_nanos    bigint NOT NULL CONSTRAINT agent_run_slices_held CHECK (held_nanos > 0),
    state         text NOT NULL DEFAULT 'open' CONSTRAINT agent_run_slices_state CHECK (state IN ('open', 'captured', 'released')),
    billed_to_s   bigint,
    charged_nanos bigint NOT NULL DEFAULT 0 CONSTRAINT agent_run_slices_charged CHECK (charged_nanos BETWEEN 0 AND held_nanos),
    opened_at     timestamptz NOT NULL,
    closed_at     timestamptz,
    PRIMARY KEY (run_id, number),
    CONSTRAINT agent_run_slices_closed CHECK ((state = 'open') = (closed_at IS NULL)),
    CONSTRAINT agent_run_slices_billed CHECK ((state = 'captured') = (billed_to_s IS NOT NULL) AND billed_to_s BETWEEN from_s AND to_s)
);

-- Each time that a worker takes a run, with the key that its agent calls models with.
CREATE TABLE agent_run_attempts (
    run_id   uuid NOT NULL REFERENCES agent_runs (id),
    epoch    bigint NOT NULL,
    worker   text NOT NULL,
    key_id   uuid,
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    PRIMARY KEY (run_id, epoch)
);

-- What happened, in order and without gaps: seq is given out under the run's lock. Secrets are taken out before.
CREATE TABLE agent_run_events (
    run_id uuid NOT NULL REFERENCES agent_runs (id),
    seq    bigint NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    type   text NOT NULL,
    body   jsonb NOT NULL CONSTRAINT agent_run_events_size CHECK (octet_length(body::text) <= 65536),
    PRIMARY KEY (run_id, seq)
);

-- What a person says to a run under way. Delivered before the agent's next step, or when the run goes on.
CREATE TABLE agent_run_messages (
    id           uuid PRIMARY KEY,
    run_id       uuid NOT NULL REFERENCES agent_runs (id),
    person_id    uuid NOT NULL,
    text         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz
);
CREATE INDEX agent_run_messages_of_run ON agent_run_messages (run_id, created_at);

-- What a run leaves: diff, patch, bundle, transcript, logs. The workspace goes only after these rows are committed.
CREATE TABLE agent_artifacts (
    id         uuid PRIMARY KEY,
    run_id     uuid NOT NULL REFERENCES agent_runs (id),
    epoch      bigint NOT NULL,
    kind       text NOT NULL CONSTRAINT agent_artifacts_kind CHECK (kind IN ('patch', 'bundle', 'transcript', 'log', 'file')),
    name       text NOT NULL,
    size       bigint NOT NULL,
    sha256     bytea NOT NULL CONSTRAINT agent_artifacts_sha256 CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT agent_artifacts_once UNIQUE (run_id, epoch, name)
);
CREATE TABLE agent_artifact_parts (
    artifact_id uuid NOT NULL REFERENCES agent_artifacts (id) ON DELETE CASCADE,
    number      integer NOT NULL,
    body        bytea NOT NULL,
    PRIMARY KEY (artifact_id, number)
);

-- The processes that run agents, for the operator and for the pages, which offer agents only where somebody runs them.
CREATE TABLE agent_workers (
    id         uuid PRIMARY KEY,
    host       text NOT NULL,
    pid        integer NOT NULL,
    backend    text NOT NULL,
    facts      jsonb NOT NULL,
    width      integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    drains     boolean NOT NULL DEFAULT false,
    stopped_at timestamptz
);
CREATE INDEX agent_workers_seen ON agent_workers (seen_at) WHERE stopped_at IS NULL;
