-- Runs that start because something happened outside: on GitHub, in Slack, in Linear.
ALTER TABLE agent_runs DROP CONSTRAINT agent_runs_trigger;
ALTER TABLE agent_runs ADD CONSTRAINT agent_runs_trigger
    CHECK (trigger IN ('web', 'api', 'cli', 'schedule', 'github', 'slack', 'linear', 'retry'));

-- An account on GitHub that has installed our App and speaks for one organization here. Never for two at once.
CREATE TABLE agent_installations (
    id              uuid PRIMARY KEY,
    github_id       bigint NOT NULL,
    organization_id uuid NOT NULL,
    person_id       uuid NOT NULL,
    account         text NOT NULL,
    connected_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    suspended_at    timestamptz,
    ended_at        timestamptz
);
CREATE UNIQUE INDEX agent_installations_one_organization ON agent_installations (github_id) WHERE ended_at IS NULL;
CREATE INDEX agent_installations_of_organization ON agent_installations (organization_id) WHERE ended_at IS NULL;

-- Who a person is on GitHub, as GitHub itself said when they connected it.
CREATE TABLE agent_github_people (
    person_id uuid PRIMARY KEY,
    github_id bigint NOT NULL,
    login     text NOT NULL
);
CREATE INDEX agent_github_people_by_github ON agent_github_people (github_id);

-- A person's way to GitHub and back, good once and for a few minutes. We keep the SHA-256 of its token.
CREATE TABLE agent_connect_states (
    token_hash      bytea PRIMARY KEY CONSTRAINT agent_connect_states_sha256 CHECK (octet_length(token_hash) = 32),
    organization_id uuid NOT NULL,
    person_id       uuid NOT NULL,
    session_id      uuid NOT NULL,
    expires_at      timestamptz NOT NULL
);

-- What starts a run: when which thing happens where, and what run it is then.
CREATE TABLE agent_triggers (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    person_id       uuid NOT NULL,
    source          text NOT NULL CONSTRAINT agent_triggers_source CHECK (source IN ('github', 'slack', 'linear')),
    happening       text NOT NULL CONSTRAINT agent_triggers_happening CHECK (happening IN (
                        'issue_mention', 'pull_mention', 'label', 'pull_opened', 'review', 'message')),
    place           text NOT NULL DEFAULT '',
    label           text NOT NULL DEFAULT '',
    fields          jsonb NOT NULL,
    environment_id  uuid,
    is_on           boolean NOT NULL DEFAULT true,
    last_run_id     uuid,
    told            text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at      timestamptz
);
CREATE INDEX agent_triggers_of_organization ON agent_triggers (organization_id) WHERE deleted_at IS NULL;

-- What was delivered to us and passed the first look, once for each delivery. `facts` say where to look, never what was
-- said there: that is asked for when it is needed.
CREATE TABLE agent_trigger_events (
    id          uuid PRIMARY KEY,
    source      text NOT NULL CONSTRAINT agent_trigger_events_source CHECK (source IN ('github', 'slack', 'linear')),
    delivery    text NOT NULL,
    house       text NOT NULL,
    facts       jsonb NOT NULL,
    note        text NOT NULL DEFAULT '',
    run_id      uuid,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state       text NOT NULL DEFAULT 'waiting'
                CONSTRAINT agent_trigger_events_state CHECK (state IN ('waiting', 'started', 'ignored', 'failed')),
    due_at      timestamptz DEFAULT now(),
    lease_until timestamptz,
    epoch       bigint NOT NULL DEFAULT 0,
    attempts    integer NOT NULL DEFAULT 0,
    error       text NOT NULL DEFAULT '',
    CONSTRAINT agent_trigger_events_once UNIQUE (source, delivery)
);
CREATE INDEX agent_trigger_events_due ON agent_trigger_events (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX agent_trigger_events_old ON agent_trigger_events (received_at);

-- Until when deliveries were looked through for those that did not arrive.
CREATE TABLE agent_caught_up (
    source text PRIMARY KEY,
    until  timestamptz NOT NULL
);
