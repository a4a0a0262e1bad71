-- A row is one comparison of our books with the card processor's.
CREATE TABLE payment_checks (
    id          uuid PRIMARY KEY,
    -- Who asked for it: the clock, an operator at the desk, or a command.
    asked_by    text NOT NULL CONSTRAINT payment_checks_asked_by CHECK (asked_by IN ('clock', 'desk', 'command')),
    started_at  timestamptz NOT NULL DEFAULT now(),
    -- NULL: it runs, or its process died.
    finished_at timestamptz,
    looked_at   integer NOT NULL DEFAULT 0,
    repaired    integer NOT NULL DEFAULT 0,
    differences integer NOT NULL DEFAULT 0,
    -- Why it could not be finished.
    error       text NOT NULL DEFAULT ''
);

CREATE INDEX payment_checks_newest ON payment_checks (started_at DESC);

-- A row is something in which our books and the processor's differ, or differed. `repaired_at`: our books follow now;
-- `gone_at`: a later check did not find it any more.
CREATE TABLE payment_differences (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL CONSTRAINT payment_differences_kind CHECK (kind IN ('payment', 'refund', 'dispute', 'event', 'clearing')),
    object_id   text NOT NULL,
    purchase_id uuid,
    what        text NOT NULL,
    found_at    timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    repaired_at timestamptz,
    gone_at     timestamptz
);

-- One open difference for each thing.
CREATE UNIQUE INDEX payment_differences_open ON payment_differences (kind, object_id)
    WHERE repaired_at IS NULL AND gone_at IS NULL;
CREATE INDEX payment_differences_newest ON payment_differences (found_at DESC);

-- A row is a balance transaction at the processor: what came to or went from the operator's balance there, and the fee.
-- `purchase_id` is NULL for what is not about a purchase of ours, such as a payout, or not yet.
CREATE TABLE payment_movements (
    id          text PRIMARY KEY,
    mode        text NOT NULL CONSTRAINT payment_movements_mode CHECK (mode IN ('live', 'test', 'embedded')),
    type        text NOT NULL,
    category    text NOT NULL,
    source_id   text NOT NULL,
    purchase_id uuid,
    amount_nanos bigint NOT NULL,
    fee_nanos   bigint NOT NULL,
    moved_at    timestamptz NOT NULL,
    noted_at    timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX payment_movements_of_purchase ON payment_movements (purchase_id);
CREATE INDEX payment_movements_newest ON payment_movements (mode, moved_at DESC);
