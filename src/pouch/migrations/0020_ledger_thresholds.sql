-- A row says: tell when this organization's balance falls below so much. There is one while its auto top-up is switched
-- on or paused; none means off.
CREATE TABLE ledger_thresholds (
    organization_id uuid PRIMARY KEY,
    threshold_nanos bigint NOT NULL CONSTRAINT ledger_thresholds_positive CHECK (threshold_nanos > 0),
    -- Payments that are on their way and count as if they were there.
    pending_nanos   bigint NOT NULL DEFAULT 0 CONSTRAINT ledger_thresholds_pending CHECK (pending_nanos >= 0),
    -- armed: a crossing is answered with a charge soon, so calls may wait for it. resting: it is answered later (a cap, a
    -- back-off). paused: nothing is crossed until a person has done something.
    state           text NOT NULL DEFAULT 'armed'
        CONSTRAINT ledger_thresholds_state CHECK (state IN ('armed', 'resting', 'paused'))
);

-- A row is one wish for a top-up: the balance, with what is pending, was below the threshold. It is written under the
-- lock of the organization's account, and only after a capture, a refusal for credits, or switching on.
CREATE TABLE ledger_crossings (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    cause           text NOT NULL CONSTRAINT ledger_crossings_cause CHECK (cause IN ('capture', 'refusal', 'switched_on')),
    at              timestamptz NOT NULL,
    balance_nanos   bigint NOT NULL,
    pending_nanos   bigint NOT NULL,
    threshold_nanos bigint NOT NULL,
    closed_at       timestamptz,
    CONSTRAINT ledger_crossings_below CHECK (balance_nanos + pending_nanos < threshold_nanos)
);

-- A thousand calls that fall below at once are one wish.
CREATE UNIQUE INDEX ledger_crossings_one_open ON ledger_crossings (organization_id) WHERE closed_at IS NULL;
