-- A voucher is a code that turns into credits. Only its hash is kept: whoever reads the database cannot spend it.
CREATE TABLE vouchers (
    id             uuid PRIMARY KEY,
    code_hash      bytea NOT NULL CONSTRAINT vouchers_code UNIQUE,
    -- The last characters of the code, so that people can tell two vouchers apart.
    hint           text NOT NULL,
    amount_nanos   bigint NOT NULL CONSTRAINT vouchers_amount CHECK (amount_nanos > 0),
    uses_max       integer NOT NULL CONSTRAINT vouchers_uses CHECK (uses_max > 0),
    used           integer NOT NULL DEFAULT 0,
    per_person_max integer NOT NULL DEFAULT 1 CONSTRAINT vouchers_per_person CHECK (per_person_max > 0),
    valid_from     timestamptz NOT NULL,
    valid_until    timestamptz,
    -- How long the credits last after the code is redeemed. NULL: they never expire.
    credits_days   integer CONSTRAINT vouchers_credits_days CHECK (credits_days > 0),
    -- Shown to the customer in their history.
    note           text NOT NULL,
    -- Who made it: an operator's address, or "command".
    made_by        text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    voided_at      timestamptz,
    CONSTRAINT vouchers_never_overused CHECK (used BETWEEN 0 AND uses_max),
    CONSTRAINT vouchers_window CHECK (valid_until IS NULL OR valid_until > valid_from)
);

-- A row is one redemption: a voucher, who redeemed it, and the grant that it became.
CREATE TABLE voucher_redemptions (
    -- Derived from the form or request that asked for it, so that one that is sent twice redeems once.
    id              uuid PRIMARY KEY,
    voucher_id      uuid NOT NULL REFERENCES vouchers (id),
    organization_id uuid NOT NULL,
    person_id       uuid NOT NULL,
    -- Of the person's mailbox: an account that was deleted and made again is the same person.
    mailbox_hash    bytea NOT NULL,
    grant_id        uuid NOT NULL CONSTRAINT voucher_redemptions_grant UNIQUE REFERENCES ledger_transfers (id),
    redeemed_at     timestamptz NOT NULL DEFAULT now()
);

-- The limit per person counts them, and the operator reads who redeemed a voucher.
CREATE INDEX voucher_redemptions_of_voucher ON voucher_redemptions (voucher_id, mailbox_hash);
