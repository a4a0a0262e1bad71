-- One row for each finished call of a model: who called, what was counted, what it cost and at which dated price.
-- Its id is the generation id that the client was told, the id of the hold, and the id of the charge's transfer.
-- No prompts, no answers.
CREATE TABLE usage_calls (
    id                    uuid CONSTRAINT usage_calls_once PRIMARY KEY,
    organization_id       uuid NOT NULL,
    person_id             uuid NOT NULL,
    key_id                uuid NOT NULL,
    model_id              text NOT NULL,
    upstream_id           text NOT NULL,
    price_id              uuid,
    tokens_input          bigint NOT NULL DEFAULT 0,
    tokens_output         bigint NOT NULL DEFAULT 0,
    tokens_cache_read     bigint NOT NULL DEFAULT 0,
    tokens_cache_write_5m bigint NOT NULL DEFAULT 0,
    tokens_cache_write_1h bigint NOT NULL DEFAULT 0,
    tokens_reasoning      bigint NOT NULL DEFAULT 0,
    images                bigint NOT NULL DEFAULT 0,
    audio_minutes         bigint NOT NULL DEFAULT 0,
    searches              bigint NOT NULL DEFAULT 0,
    cost_nanos            bigint NOT NULL CONSTRAINT usage_calls_cost CHECK (cost_nanos >= 0),
    charged_nanos         bigint NOT NULL CONSTRAINT usage_calls_charged CHECK (charged_nanos BETWEEN 0 AND cost_nanos),
    held_nanos            bigint NOT NULL DEFAULT 0,
    is_estimated          boolean NOT NULL DEFAULT false,
    is_streamed           boolean NOT NULL,
    outcome               text NOT NULL CONSTRAINT usage_calls_outcome CHECK (outcome IN ('done', 'client_gone', 'cut', 'failed')),
    started_at            timestamptz NOT NULL,
    finished_at           timestamptz NOT NULL
);

-- The usage and billing pages read an organization's newest calls, a key's page those of the key.
CREATE INDEX usage_calls_of_organization ON usage_calls (organization_id, started_at DESC);
CREATE INDEX usage_calls_of_key ON usage_calls (key_id, started_at DESC);
