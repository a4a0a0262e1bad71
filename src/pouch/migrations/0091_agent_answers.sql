-- Where a run was asked for outside, and what is told there: one message, edited as the run goes on. `news` counts what
-- there is to tell; the row is due until the last of it is told. Its id is the run's.
CREATE TABLE agent_origins (
    id              uuid PRIMARY KEY REFERENCES agent_runs (id),
    organization_id uuid NOT NULL,
    source          text NOT NULL CONSTRAINT agent_origins_source CHECK (source IN ('github', 'slack', 'linear')),
    house           text NOT NULL,
    place           jsonb NOT NULL,
    message         text NOT NULL DEFAULT '',
    news            integer NOT NULL DEFAULT 1,
    state           text NOT NULL DEFAULT 'waiting' CONSTRAINT agent_origins_state CHECK (state IN ('waiting', 'told', 'failed')),
    due_at          timestamptz DEFAULT now(),
    lease_until     timestamptz,
    epoch           bigint NOT NULL DEFAULT 0,
    attempts        integer NOT NULL DEFAULT 0,
    error           text NOT NULL DEFAULT ''
);
CREATE INDEX agent_origins_due ON agent_origins (due_at) WHERE due_at IS NOT NULL;

-- The work of a run on its way to GitHub: pushed to `head`, then a pull request where it has none yet. Its id is the run's.
-- It waits for the run (`waiting` without due_at) until that has ended well and changed something.
CREATE TABLE agent_publications (
    id              uuid PRIMARY KEY REFERENCES agent_runs (id),
    organization_id uuid NOT NULL,
    installation    bigint NOT NULL,
    repository      text NOT NULL,
    base            text NOT NULL,
    head            text NOT NULL,
    is_own_branch   boolean NOT NULL,
    issue           integer NOT NULL DEFAULT 0,
    pull            integer NOT NULL DEFAULT 0,
    pull_url        text NOT NULL DEFAULT '',
    pushed_sha      text NOT NULL DEFAULT '',
    note            text NOT NULL DEFAULT '',
    state           text NOT NULL DEFAULT 'waiting'
                    CONSTRAINT agent_publications_state CHECK (state IN ('waiting', 'published', 'unneeded', 'failed')),
    due_at          timestamptz,
    lease_until     timestamptz,
    epoch           bigint NOT NULL DEFAULT 0,
    attempts        integer NOT NULL DEFAULT 0,
    error           text NOT NULL DEFAULT ''
);
CREATE INDEX agent_publications_due ON agent_publications (due_at) WHERE due_at IS NOT NULL;
-- Which pull requests are ours, for comments on them.
CREATE INDEX agent_publications_branches ON agent_publications (organization_id, repository, head);
