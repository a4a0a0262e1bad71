-- When each person called a free model within the last minute, oldest first: at most as many as are allowed.
CREATE TABLE gateway_free_calls (
    person_id uuid PRIMARY KEY,
    called_at timestamptz[] NOT NULL
) WITH (fillfactor = 70);

-- A client's Idempotency-Key and the call it belongs to. The key is kept as a hash: it is the client's own text.
CREATE TABLE gateway_idempotency_keys (
    key_id        uuid NOT NULL,
    hash          bytea NOT NULL,
    generation_id uuid NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT gateway_idempotency_keys_once PRIMARY KEY (key_id, hash)
);

-- Old keys are forgotten by age.
CREATE INDEX gateway_idempotency_keys_age ON gateway_idempotency_keys (created_at);
