-- A row is one request to the billing API that carried an Idempotency-Key: asked again with the same key, it is answered
-- as the first time. Kept for a day.
CREATE TABLE billing_requests (
    -- Derived from the organization and the key; the key itself is not kept.
    id           uuid PRIMARY KEY,
    -- Of method, address and content: the same key with other content is refused.
    fingerprint  bytea NOT NULL,
    -- The answer. NULL while the request is under way.
    status       integer,
    body         text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- Until when the request under way is taken to be alive. Afterwards the same key may act again.
    lease_until  timestamptz,
    epoch        bigint NOT NULL DEFAULT 1,
    CONSTRAINT billing_requests_answered CHECK ((status IS NULL) = (body IS NULL)),
    CONSTRAINT billing_requests_under_way CHECK ((status IS NULL) = (lease_until IS NOT NULL))
);

-- The hourly chore forgets what is older than a day.
CREATE INDEX billing_requests_by_age ON billing_requests (created_at);
