-- A row is one try to save a card without paying.
CREATE TABLE cards_setups (
    seq                  bigint GENERATED ALWAYS AS IDENTITY,
    id                   text NOT NULL CONSTRAINT cards_setups_id PRIMARY KEY,
    created_at           timestamptz NOT NULL,
    client_secret        text NOT NULL,
    status               text NOT NULL CONSTRAINT cards_setups_status CHECK (
        status IN ('requires_payment_method', 'requires_confirmation', 'requires_action', 'succeeded', 'canceled')
    ),
    customer_id          text CONSTRAINT cards_setups_customer REFERENCES cards_customers (id),
    method_id            text CONSTRAINT cards_setups_method REFERENCES cards_methods (id),
    usage                text NOT NULL,
    description          text,
    last_error           jsonb,
    canceled_at          timestamptz,
    cancellation_reason  text,
    metadata             jsonb NOT NULL
);

CREATE INDEX cards_setups_of_customer ON cards_setups (customer_id, seq);

-- A visit to the hosted page may also be made to save a card; then it has no amount.
ALTER TABLE cards_sessions
    ADD COLUMN mode text NOT NULL DEFAULT 'payment' CONSTRAINT cards_sessions_mode CHECK (mode IN ('payment', 'setup')),
    ADD COLUMN setup_id text CONSTRAINT cards_sessions_setup REFERENCES cards_setups (id),
    DROP CONSTRAINT cards_sessions_amount,
    ADD CONSTRAINT cards_sessions_amount CHECK (amount_cents > 0 OR (mode = 'setup' AND amount_cents = 0)),
    DROP CONSTRAINT cards_sessions_payment,
    ADD CONSTRAINT cards_sessions_payment CHECK (payment_status IN ('unpaid', 'paid', 'no_payment_required'));

-- A card that was taken off its customer can never be used again.
ALTER TABLE cards_methods
    ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN is_spent boolean NOT NULL DEFAULT false;

-- What the card networks advise after a decline.
ALTER TABLE cards_charges ADD COLUMN advice_code text;
