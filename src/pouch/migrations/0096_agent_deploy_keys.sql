-- The key with which runs of an environment fetch a repository over ssh. Made here; its private half is encrypted under
-- the operator's secret key and is only ever opened for a clone.
CREATE TABLE agent_deploy_keys (
    environment_id uuid PRIMARY KEY REFERENCES agent_environments (id),
    public_key     text NOT NULL,
    sealed_private bytea NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A host's own key: seen when a run first tried, and believed once a person has confirmed it. `host` as ssh writes it.
CREATE TABLE agent_known_hosts (
    environment_id uuid NOT NULL REFERENCES agent_environments (id),
    host           text NOT NULL CONSTRAINT agent_known_hosts_host CHECK (host <> ''),
    key            text NOT NULL CONSTRAINT agent_known_hosts_key CHECK (key ~ '^[a-z0-9@.-]+ [A-Za-z0-9+/=]+$'),
    seen_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    confirmed_at   timestamptz,
    PRIMARY KEY (environment_id, host, key)
);
