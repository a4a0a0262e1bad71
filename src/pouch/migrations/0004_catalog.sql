-- A server that runs models. Rows are retired, not deleted: models, and through them usage, refer to them.
-- The test models' own upstream has no address here; `serve` knows it under `pouch up`.
CREATE TABLE catalog_upstreams (
    id          text PRIMARY KEY,
    kind        text NOT NULL CONSTRAINT catalog_upstreams_kind CHECK (kind IN ('openai', 'test')),
    base_url    text,
    api_key_env text,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    retired_at  timestamptz,
    CONSTRAINT catalog_upstreams_address CHECK ((kind = 'test') = (base_url IS NULL))
);

-- A model that callers may name. What it costs is not here but in catalog_prices.
CREATE TABLE catalog_models (
    id             text PRIMARY KEY,
    upstream_id    text NOT NULL CONSTRAINT catalog_models_upstream REFERENCES catalog_upstreams (id),
    upstream_model text NOT NULL,
    name           text NOT NULL,
    description    text NOT NULL,
    owned_by       text NOT NULL,
    context_window bigint NOT NULL CONSTRAINT catalog_models_context CHECK (context_window > 0),
    max_tokens     bigint NOT NULL CONSTRAINT catalog_models_max_tokens CHECK (max_tokens > 0),
    tags           text[] NOT NULL CONSTRAINT catalog_models_tags CHECK (NOT 'free' = ANY (tags)),
    position       integer NOT NULL,
    is_test        boolean NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    retired_at     timestamptz
);

-- What a model costs from effective_at until its next row: nano-dollars per 1,000,000 tokens (or images, requests …)
-- by price class. Without prices the model is free from then on. The newest row that is not in the future is in force.
CREATE TABLE catalog_prices (
    id             uuid PRIMARY KEY,
    model_id       text NOT NULL CONSTRAINT catalog_prices_model REFERENCES catalog_models (id),
    effective_at   timestamptz NOT NULL,
    nanos_per_mtok jsonb CONSTRAINT catalog_prices_classes CHECK (nanos_per_mtok ?& ARRAY['input', 'output']),
    tiers          jsonb NOT NULL DEFAULT '[]' CONSTRAINT catalog_prices_tiers CHECK (jsonb_typeof(tiers) = 'array'),
    CONSTRAINT catalog_prices_moment UNIQUE (model_id, effective_at),
    CONSTRAINT catalog_prices_free CHECK (nanos_per_mtok IS NOT NULL OR tiers = '[]')
);

-- Every snapshot asks once a second whether a price has come into force since.
CREATE INDEX catalog_prices_effective ON catalog_prices (effective_at);

-- Old usage is explained by the price that billed it, so no price row ever changes or goes.
CREATE FUNCTION catalog_prices_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a price is never changed: add a newer one';
END
$$;
CREATE TRIGGER catalog_prices_stay BEFORE UPDATE OR DELETE ON catalog_prices
    FOR EACH ROW EXECUTE FUNCTION catalog_prices_stay();

-- One row per apply that changed something: snapshots compare the highest id, operators read what changed.
CREATE TABLE catalog_versions (
    id         bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changes    text[] NOT NULL
);
