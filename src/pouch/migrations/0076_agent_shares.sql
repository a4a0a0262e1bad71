-- A link with which whoever has it sees one run, and changes nothing. We keep the SHA-256 of its token.
CREATE TABLE agent_share_links (
    token_hash bytea PRIMARY KEY CONSTRAINT agent_share_links_sha256 CHECK (octet_length(token_hash) = 32),
    run_id     uuid NOT NULL REFERENCES agent_runs (id),
    person_id  uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX agent_share_links_of_run ON agent_share_links (run_id);

-- When a person deleted what a run said and left. Its bill stays.
ALTER TABLE agent_runs ADD COLUMN forgotten_at timestamptz;
