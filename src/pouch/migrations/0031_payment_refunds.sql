-- A row is money going back for one purchase. It exists before the card processor hears of it, and its id is the key of the
-- request, of the hold on the credits and of their posting. One that was made at the processor's own site, and found
-- there, has source "stripe"; one for a payment that failed after all has source "failure".
CREATE TABLE payment_refunds (
    id              uuid PRIMARY KEY,
    purchase_id     uuid NOT NULL CONSTRAINT payment_refunds_purchase REFERENCES payment_purchases (id),
    organization_id uuid NOT NULL,
    mode            text NOT NULL CONSTRAINT payment_refunds_mode CHECK (mode IN ('live', 'test', 'embedded')),
    source          text NOT NULL CONSTRAINT payment_refunds_source CHECK (source IN ('operator', 'customer', 'stripe', 'failure')),
    -- Who asked for it here.
    person_id       uuid,
    -- Minted by the page that was shown, so that a form sent twice is one refund.
    attempt         text CONSTRAINT payment_refunds_attempt_text CHECK (attempt ~ '^[!-~]{1,100}$'),
    amount_nanos    bigint NOT NULL
        CONSTRAINT payment_refunds_whole_cents CHECK (amount_nanos > 0 AND amount_nanos % 10000000 = 0),
    -- created: held, and not known to have been sent. unknown: sent, and no answer came. pending: the processor has it.
    -- failed: nothing moved, or it came back; the customer has the credits.
    state           text NOT NULL DEFAULT 'created' CONSTRAINT payment_refunds_state CHECK (state IN (
        'created', 'unknown', 'pending', 'succeeded', 'failed'
    )),
    -- Set aside until it is final.
    held_nanos      bigint NOT NULL DEFAULT 0 CONSTRAINT payment_refunds_held CHECK (held_nanos BETWEEN 0 AND amount_nanos),
    -- What was posted: from the balance, as a debt, and as a loss of ours (the purchase had been taken back before).
    taken_nanos     bigint NOT NULL DEFAULT 0 CONSTRAINT payment_refunds_taken CHECK (taken_nanos >= 0),
    owed_nanos      bigint NOT NULL DEFAULT 0 CONSTRAINT payment_refunds_owed CHECK (owed_nanos >= 0),
    lost_nanos      bigint NOT NULL DEFAULT 0 CONSTRAINT payment_refunds_lost CHECK (lost_nanos >= 0),
    posted_at       timestamptz,
    returned_at     timestamptz,
    reason          text NOT NULL DEFAULT 'requested_by_customer' CONSTRAINT payment_refunds_reason CHECK (reason IN (
        'requested_by_customer', 'duplicate', 'fraudulent'
    )),
    -- The operator's words, shown to the customer.
    note            text NOT NULL DEFAULT '',
    stripe_id       text CONSTRAINT payment_refunds_stripe_id UNIQUE,
    -- Why it failed, for people.
    failure         text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    closed_at       timestamptz,
    due_at          timestamptz DEFAULT now(),
    lease_until     timestamptz,
    epoch           bigint NOT NULL DEFAULT 0,
    attempts        integer NOT NULL DEFAULT 0,
    error           text NOT NULL DEFAULT '',
    CONSTRAINT payment_refunds_attempt UNIQUE (purchase_id, attempt),
    CONSTRAINT payment_refunds_posted CHECK (
        (posted_at IS NULL AND taken_nanos + owed_nanos + lost_nanos = 0)
        OR (posted_at IS NOT NULL AND taken_nanos + owed_nanos + lost_nanos = amount_nanos)
    ),
    CONSTRAINT payment_refunds_returned CHECK (returned_at IS NULL OR (posted_at IS NOT NULL AND state = 'failed')),
    CONSTRAINT payment_refunds_succeeded_is_posted CHECK (state <> 'succeeded' OR posted_at IS NOT NULL)
);

-- The page of a purchase, and every settling, read its refunds.
CREATE INDEX payment_refunds_of_purchase ON payment_refunds (purchase_id, id);
-- The operator's desk and the customer's list.
CREATE INDEX payment_refunds_of_organization ON payment_refunds (organization_id, id DESC);
CREATE INDEX payment_refunds_due ON payment_refunds (due_at) WHERE due_at IS NOT NULL;

-- A row is a cardholder's objection to one purchase, as the processor last told it. `withdrawn` and `reinstated` are what
-- has been posted for it.
CREATE TABLE payment_disputes (
    id               uuid PRIMARY KEY,
    stripe_id        text NOT NULL CONSTRAINT payment_disputes_stripe_id UNIQUE,
    purchase_id      uuid NOT NULL CONSTRAINT payment_disputes_purchase REFERENCES payment_purchases (id),
    organization_id  uuid NOT NULL,
    mode             text NOT NULL CONSTRAINT payment_disputes_mode CHECK (mode IN ('live', 'test', 'embedded')),
    amount_nanos     bigint NOT NULL CONSTRAINT payment_disputes_amount CHECK (amount_nanos > 0),
    -- The processor's own words.
    status           text NOT NULL,
    reason           text NOT NULL,
    evidence_due_at  timestamptz,
    opened_at        timestamptz NOT NULL,
    closed_at        timestamptz,
    withdrawn_nanos  bigint NOT NULL DEFAULT 0 CONSTRAINT payment_disputes_withdrawn CHECK (withdrawn_nanos >= 0),
    reinstated_nanos bigint NOT NULL DEFAULT 0
        CONSTRAINT payment_disputes_reinstated CHECK (reinstated_nanos BETWEEN 0 AND withdrawn_nanos),
    owed_nanos       bigint NOT NULL DEFAULT 0,
    postings         integer NOT NULL DEFAULT 0
);

CREATE INDEX payment_disputes_of_purchase ON payment_disputes (purchase_id);
CREATE INDEX payment_disputes_of_organization ON payment_disputes (organization_id, id);

-- A row is a card network's warning that a payment is likely to be fraud.
CREATE TABLE payment_warnings (
    stripe_id        text PRIMARY KEY,
    purchase_id      uuid NOT NULL CONSTRAINT payment_warnings_purchase REFERENCES payment_purchases (id),
    fraud_type       text NOT NULL,
    is_actionable    boolean NOT NULL,
    warned_at        timestamptz NOT NULL
);

CREATE INDEX payment_warnings_of_purchase ON payment_warnings (purchase_id);
