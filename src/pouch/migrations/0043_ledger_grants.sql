-- What is special about a grant: whether it is spent before paid credits, and when what is left of it expires. Its id is
-- that of the transfer that gave it. A grant without a row here (from before this table) is promotional and never expires.
CREATE TABLE ledger_grants (
    id              uuid PRIMARY KEY REFERENCES ledger_transfers (id),
    organization_id uuid NOT NULL,
    -- promotional: spent first. compensation: makes good for something, and is spent like paid credits.
    kind            text NOT NULL CONSTRAINT ledger_grants_kind CHECK (kind IN ('promotional', 'compensation')),
    expires_at      timestamptz,
    -- When nothing of it was left to expire. NULL until then; always NULL without an expiry.
    expired_at      timestamptz,
    CONSTRAINT ledger_grants_expired CHECK (expired_at IS NULL OR expires_at IS NOT NULL)
);

-- The expiry job reads what is due; what is over is never scanned.
CREATE INDEX ledger_grants_due ON ledger_grants (expires_at) WHERE expires_at IS NOT NULL AND expired_at IS NULL;

-- What was left of an account's lots after its transfer `seq`, so that nobody has to read its history from the first one.
-- It only saves time: lots are worked out from the transfers, and a row may be deleted at any time.
CREATE TABLE ledger_lot_snapshots (
    account_id bigint PRIMARY KEY REFERENCES ledger_accounts (id),
    seq        bigint NOT NULL,
    lot_ids    uuid[] NOT NULL,
    left_nanos bigint[] NOT NULL,
    taken_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_lot_snapshots_pairs CHECK (cardinality(lot_ids) = cardinality(left_nanos))
);
