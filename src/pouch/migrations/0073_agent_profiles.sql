-- What an organization sets for one kind of agent. A kind without a row is as Pouch brings it.
CREATE TABLE agent_profiles (
    organization_id uuid NOT NULL,
    kind            text NOT NULL CONSTRAINT agent_profiles_kind CHECK (kind IN ('planner', 'explainer', 'reviewer', 'coder', 'fixer')),
    model_id        text,
    prompt          text NOT NULL,
    cap_nanos       bigint NOT NULL CONSTRAINT agent_profiles_cap CHECK (cap_nanos > 0),
    time_limit_s    integer NOT NULL CONSTRAINT agent_profiles_time_limit CHECK (time_limit_s > 0),
    engine          text NOT NULL,
    changed_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (organization_id, kind)
);
