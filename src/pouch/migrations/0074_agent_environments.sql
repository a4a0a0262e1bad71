-- What a run finds beside its repository: commands that prepare it, variables, and secrets, encrypted under the operator's
-- secret key. A secret of `setup` is there while the commands run and gone before the agent begins.
CREATE TABLE agent_environments (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    name            text NOT NULL CONSTRAINT agent_environments_named CHECK (name <> ''),
    commands        text NOT NULL DEFAULT '',
    hosts           text NOT NULL DEFAULT '',
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at      timestamptz
);
CREATE UNIQUE INDEX agent_environments_one_of_a_name ON agent_environments (organization_id, name) WHERE deleted_at IS NULL;

CREATE TABLE agent_environment_values (
    environment_id uuid NOT NULL REFERENCES agent_environments (id),
    name           text NOT NULL CONSTRAINT agent_environment_values_name CHECK (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$'),
    kind           text NOT NULL CONSTRAINT agent_environment_values_kind CHECK (kind IN ('variable', 'setup', 'run')),
    plain          text,
    sealed         bytea,
    PRIMARY KEY (environment_id, name),
    CONSTRAINT agent_environment_values_sealed CHECK (
        (kind = 'variable') = (plain IS NOT NULL) AND (kind = 'variable') = (sealed IS NULL))
);
