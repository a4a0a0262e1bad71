-- The embedded card processor: the far end of Stripe's protocol, with play money. These rows are another house's books:
-- ids and amounts are written as Stripe writes them (text ids, whole US cents), and no other room reads them.
-- No column can hold a card number: a payment method knows which test card it is by that card's name.

-- A row is somebody who pays.
CREATE TABLE cards_customers (
    seq                bigint GENERATED ALWAYS AS IDENTITY,
    id                 text NOT NULL CONSTRAINT cards_customers_id PRIMARY KEY,
    created_at         timestamptz NOT NULL,
    email              text,
    name               text,
    description        text,
    default_method_id  text,
    metadata           jsonb NOT NULL
);

-- A row is a test card or test bank account that somebody paid with. `is_set_up`: the bank has confirmed later charges.
CREATE TABLE cards_methods (
    seq           bigint GENERATED ALWAYS AS IDENTITY,
    id            text NOT NULL CONSTRAINT cards_methods_id PRIMARY KEY,
    created_at    timestamptz NOT NULL,
    customer_id   text CONSTRAINT cards_methods_customer REFERENCES cards_customers (id),
    type          text NOT NULL CONSTRAINT cards_methods_type CHECK (type IN ('card', 'us_bank_account')),
    card_name     text NOT NULL,
    brand         text NOT NULL,
    last4         text NOT NULL CONSTRAINT cards_methods_last4 CHECK (last4 ~ '^[0-9]{4}$'),
    exp_month     integer NOT NULL,
    exp_year      integer NOT NULL,
    fingerprint   text NOT NULL,
    is_set_up     boolean NOT NULL,
    email         text
);

CREATE INDEX cards_methods_of_customer ON cards_methods (customer_id, seq);

-- A row is one payment from its first try to its end. A declined try leaves it open for another card.
CREATE TABLE cards_intents (
    seq                  bigint GENERATED ALWAYS AS IDENTITY,
    id                   text NOT NULL CONSTRAINT cards_intents_id PRIMARY KEY,
    created_at           timestamptz NOT NULL,
    client_secret        text NOT NULL,
    amount_cents         bigint NOT NULL CONSTRAINT cards_intents_amount CHECK (amount_cents > 0),
    status               text NOT NULL CONSTRAINT cards_intents_status CHECK (
        status IN ('requires_payment_method', 'requires_confirmation', 'requires_action', 'processing', 'succeeded', 'canceled')
    ),
    customer_id          text CONSTRAINT cards_intents_customer REFERENCES cards_customers (id),
    method_id            text CONSTRAINT cards_intents_method REFERENCES cards_methods (id),
    latest_charge_id     text,
    setup_future_usage   text,
    description          text,
    receipt_email        text,
    last_error           jsonb,
    settle_at            timestamptz,
    canceled_at          timestamptz,
    cancellation_reason  text,
    metadata             jsonb NOT NULL
);

CREATE INDEX cards_intents_of_customer ON cards_intents (customer_id, seq);
CREATE INDEX cards_intents_settling ON cards_intents (settle_at) WHERE status = 'processing';

-- A row is one try to move the money of a payment.
CREATE TABLE cards_charges (
    seq                    bigint GENERATED ALWAYS AS IDENTITY,
    id                     text NOT NULL CONSTRAINT cards_charges_id PRIMARY KEY,
    created_at             timestamptz NOT NULL,
    intent_id              text NOT NULL CONSTRAINT cards_charges_intent REFERENCES cards_intents (id),
    customer_id            text,
    method_id              text NOT NULL CONSTRAINT cards_charges_method REFERENCES cards_methods (id),
    method_details         jsonb NOT NULL,
    amount_cents           bigint NOT NULL CONSTRAINT cards_charges_amount CHECK (amount_cents > 0),
    amount_refunded_cents  bigint NOT NULL CONSTRAINT cards_charges_refunded CHECK (amount_refunded_cents BETWEEN 0 AND amount_cents),
    status                 text NOT NULL CONSTRAINT cards_charges_status CHECK (status IN ('pending', 'succeeded', 'failed')),
    failure_code           text,
    failure_message        text,
    decline_code           text,
    email                  text,
    description            text,
    receipt_url            text NOT NULL,
    metadata               jsonb NOT NULL
);

CREATE INDEX cards_charges_of_intent ON cards_charges (intent_id, seq);
-- A payment is paid at most once, whatever the code above believes.
CREATE UNIQUE INDEX cards_charges_once ON cards_charges (intent_id) WHERE status IN ('pending', 'succeeded');

-- A row is one visit to the hosted page.
CREATE TABLE cards_sessions (
    seq                  bigint GENERATED ALWAYS AS IDENTITY,
    id                   text NOT NULL CONSTRAINT cards_sessions_id PRIMARY KEY,
    created_at           timestamptz NOT NULL,
    expires_at           timestamptz NOT NULL CONSTRAINT cards_sessions_life CHECK (expires_at > created_at),
    status               text NOT NULL CONSTRAINT cards_sessions_status CHECK (status IN ('open', 'complete', 'expired')),
    payment_status       text NOT NULL CONSTRAINT cards_sessions_payment CHECK (payment_status IN ('unpaid', 'paid')),
    amount_cents         bigint NOT NULL CONSTRAINT cards_sessions_amount CHECK (amount_cents > 0),
    line_items           jsonb NOT NULL,
    method_types         jsonb NOT NULL,
    customer_id          text CONSTRAINT cards_sessions_customer REFERENCES cards_customers (id),
    makes_customer       boolean NOT NULL,
    email                text,
    client_reference_id  text,
    intent_id            text CONSTRAINT cards_sessions_intent REFERENCES cards_intents (id),
    intent_metadata      jsonb NOT NULL,
    intent_description   text,
    receipt_email        text,
    setup_future_usage   text,
    url                  text NOT NULL,
    success_url          text NOT NULL,
    cancel_url           text,
    metadata             jsonb NOT NULL
);

CREATE INDEX cards_sessions_open ON cards_sessions (expires_at) WHERE status = 'open';
CREATE INDEX cards_sessions_of_intent ON cards_sessions (intent_id);
CREATE INDEX cards_sessions_of_customer ON cards_sessions (customer_id, seq);

-- A row is something that happened, with the object as it was then. Written in the same commit as the change itself.
CREATE TABLE cards_events (
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    id          text NOT NULL CONSTRAINT cards_events_id PRIMARY KEY,
    created_at  timestamptz NOT NULL,
    type        text NOT NULL,
    object      jsonb NOT NULL
);

CREATE INDEX cards_events_by_type ON cards_events (type, seq);

-- A row is the delivery of one event to Pouch's webhook. `due_at` is empty when there is nothing more to do: it arrived,
-- or it was given up.
CREATE TABLE cards_deliveries (
    event_seq     bigint NOT NULL,
    event_id      text NOT NULL CONSTRAINT cards_deliveries_event PRIMARY KEY REFERENCES cards_events (id),
    due_at        timestamptz,
    lease_until   timestamptz,
    attempts      integer NOT NULL DEFAULT 0,
    delivered_at  timestamptz
);

CREATE INDEX cards_deliveries_due ON cards_deliveries (event_seq) WHERE due_at IS NOT NULL;

-- A row is the remembered answer to one request with an Idempotency-Key: asked again, it is replayed.
CREATE TABLE cards_requests (
    key          text NOT NULL CONSTRAINT cards_requests_key PRIMARY KEY,
    created_at   timestamptz NOT NULL,
    fingerprint  text NOT NULL,
    status       integer NOT NULL,
    body         text NOT NULL
);

CREATE INDEX cards_requests_by_age ON cards_requests (created_at);
