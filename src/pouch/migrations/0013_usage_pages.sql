-- A row is what one key used of one model on one day (UTC, by when the calls finished): whole days of usage_calls, summed
-- up once, so that the Usage page of a busy organization does not read a hundred thousand calls. No money follows from
-- it; the rows could be made anew from usage_calls at any time.
CREATE TABLE usage_days (
    organization_id uuid NOT NULL,
    day             date NOT NULL,
    model_id        text NOT NULL,
    key_id          uuid NOT NULL,
    calls           bigint NOT NULL,
    tokens_input    bigint NOT NULL,
    tokens_cached   bigint NOT NULL,
    tokens_output   bigint NOT NULL,
    charged_nanos   bigint NOT NULL,
    CONSTRAINT usage_days_once PRIMARY KEY (organization_id, day, model_id, key_id)
);

-- How far that has come: every call that finished before `until` is in usage_days, and no other.
CREATE TABLE usage_days_until (
    organization_id uuid PRIMARY KEY,
    until           timestamptz NOT NULL
);

-- The Usage page lists the calls of one model, and asks which models there are.
CREATE INDEX usage_calls_of_model ON usage_calls (organization_id, model_id, started_at DESC);
