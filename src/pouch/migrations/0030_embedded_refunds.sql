-- What may become of a charge of the embedded card processor afterwards: refunds, disputes, warnings; and the movements
-- of money on its balance, from which a customer of the processor ties its own books to it.

-- `movement_id`: what this charge brought to the balance. `trouble_at`: when the bank behind its test card acts.
ALTER TABLE cards_charges
    ADD COLUMN is_disputed  boolean NOT NULL DEFAULT false,
    ADD COLUMN movement_id  text,
    ADD COLUMN trouble_at   timestamptz;

CREATE INDEX cards_charges_trouble ON cards_charges (trouble_at) WHERE trouble_at IS NOT NULL;

-- A row is money going back to a card. `settles_to` and `settle_at`: how and when the bank ends what is not final yet.
CREATE TABLE cards_refunds (
    seq             bigint GENERATED ALWAYS AS IDENTITY,
    id              text NOT NULL CONSTRAINT cards_refunds_id PRIMARY KEY,
    created_at      timestamptz NOT NULL,
    charge_id       text NOT NULL CONSTRAINT cards_refunds_charge REFERENCES cards_charges (id),
    intent_id       text NOT NULL CONSTRAINT cards_refunds_intent REFERENCES cards_intents (id),
    amount_cents    bigint NOT NULL CONSTRAINT cards_refunds_amount CHECK (amount_cents > 0),
    status          text NOT NULL CONSTRAINT cards_refunds_status CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled')),
    reason          text,
    failure_reason  text,
    settles_to      text CONSTRAINT cards_refunds_settles_to CHECK (settles_to IN ('succeeded', 'failed')),
    settle_at       timestamptz,
    movement_id     text NOT NULL,
    failure_movement_id text,
    metadata        jsonb NOT NULL
);

CREATE INDEX cards_refunds_of_charge ON cards_refunds (charge_id, seq);
CREATE INDEX cards_refunds_of_intent ON cards_refunds (intent_id, seq);
CREATE INDEX cards_refunds_settling ON cards_refunds (settle_at) WHERE settle_at IS NOT NULL;

-- A row is a cardholder's objection. `movements` are the balance transactions that it has caused so far, as shown.
CREATE TABLE cards_disputes (
    seq                bigint GENERATED ALWAYS AS IDENTITY,
    id                 text NOT NULL CONSTRAINT cards_disputes_id PRIMARY KEY,
    created_at         timestamptz NOT NULL,
    charge_id          text NOT NULL CONSTRAINT cards_disputes_charge REFERENCES cards_charges (id),
    intent_id          text NOT NULL CONSTRAINT cards_disputes_intent REFERENCES cards_intents (id),
    amount_cents       bigint NOT NULL CONSTRAINT cards_disputes_amount CHECK (amount_cents > 0),
    status             text NOT NULL CONSTRAINT cards_disputes_status CHECK (status IN (
        'warning_needs_response', 'warning_under_review', 'warning_closed', 'needs_response', 'under_review', 'won', 'lost'
    )),
    reason             text NOT NULL,
    due_by             timestamptz NOT NULL,
    evidence           text,
    submission_count   integer NOT NULL DEFAULT 0,
    movements          jsonb NOT NULL,
    metadata           jsonb NOT NULL
);

CREATE INDEX cards_disputes_of_charge ON cards_disputes (charge_id, seq);
CREATE INDEX cards_disputes_of_intent ON cards_disputes (intent_id, seq);

-- A row is a card network's word that a charge is likely to be fraud.
CREATE TABLE cards_warnings (
    seq          bigint GENERATED ALWAYS AS IDENTITY,
    id           text NOT NULL CONSTRAINT cards_warnings_id PRIMARY KEY,
    created_at   timestamptz NOT NULL,
    charge_id    text NOT NULL CONSTRAINT cards_warnings_charge REFERENCES cards_charges (id),
    intent_id    text NOT NULL,
    fraud_type   text NOT NULL,
    is_actionable boolean NOT NULL
);

-- A row is a balance transaction: an amount that came or went, and the fee that was kept of it.
CREATE TABLE cards_movements (
    seq           bigint GENERATED ALWAYS AS IDENTITY,
    id            text NOT NULL CONSTRAINT cards_movements_id PRIMARY KEY,
    created_at    timestamptz NOT NULL,
    type          text NOT NULL,
    category      text NOT NULL,
    amount_cents  bigint NOT NULL,
    fee_cents     bigint NOT NULL,
    source_id     text NOT NULL,
    description   text NOT NULL
);

CREATE INDEX cards_movements_of_source ON cards_movements (source_id, seq);
