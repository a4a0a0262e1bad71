-- A row is an organization's customer at the card processor. It is written before the processor is asked, so that the
-- question is the same each time it is repeated; `stripe_id` is the answer.
CREATE TABLE payment_customers (
    organization_id uuid NOT NULL,
    -- Customers of Stripe's test mode, live mode and the embedded processor know nothing of each other.
    mode            text NOT NULL CONSTRAINT payment_customers_mode CHECK (mode IN ('live', 'test', 'embedded')),
    email           text NOT NULL,
    stripe_id       text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, mode),
    CONSTRAINT payment_customers_stripe_id UNIQUE (mode, stripe_id)
);

-- A row is one intention to buy credits. It exists before the card processor hears of it, and its id is the key of
-- everything that is done for it: one Checkout Session, one credit, one mail.
CREATE TABLE payment_purchases (
    id                 uuid PRIMARY KEY,
    -- The number on the receipt. Numbers may be missing.
    number             bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT payment_purchases_number UNIQUE,
    organization_id    uuid NOT NULL,
    person_id          uuid NOT NULL,
    -- Where the confirmation goes: the buyer's address when the purchase was started.
    email              text NOT NULL,
    -- Minted by the page that was shown, so that a form sent twice is one purchase.
    attempt            text NOT NULL CONSTRAINT payment_purchases_attempt_text CHECK (attempt ~ '^[!-~]{1,100}$'),
    mode               text NOT NULL CONSTRAINT payment_purchases_mode CHECK (mode IN ('live', 'test', 'embedded')),
    state              text NOT NULL DEFAULT 'created' CONSTRAINT payment_purchases_state CHECK (state IN (
        'created', 'open', 'processing', 'credited', 'failed', 'expired',
        'part_refunded', 'refunded', 'disputed', 'dispute_lost'
    )),
    -- The credits bought, which is what the card is charged. Cards are charged in whole cents.
    amount_nanos       bigint NOT NULL
        CONSTRAINT payment_purchases_whole_cents CHECK (amount_nanos > 0 AND amount_nanos % 10000000 = 0),
    created_at         timestamptz NOT NULL DEFAULT now(),
    -- Chosen before the session is made, so that the request for it is the same each time it is repeated.
    session_expires_at timestamptz NOT NULL,
    session_id         text CONSTRAINT payment_purchases_session UNIQUE,
    session_url        text,
    payment_id         text CONSTRAINT payment_purchases_payment UNIQUE,
    -- Shown on receipts: "visa" and "4242". Nothing else of a card is kept.
    card_brand         text NOT NULL DEFAULT '',
    card_last4         text NOT NULL DEFAULT '' CONSTRAINT payment_purchases_last4 CHECK (card_last4 ~ '^([0-9]{4})?$'),
    credited_at        timestamptz,
    -- Why it failed, in words for the buyer.
    reason             text NOT NULL DEFAULT '',
    -- What does not agree between this row and the processor's objects. Nothing is credited while it does not.
    quarantine         text NOT NULL DEFAULT '',
    -- What every row that a job moves has (jobs/README.md). No due_at: nothing is left to ask the processor.
    due_at             timestamptz DEFAULT now() + interval '2 minutes',
    lease_until        timestamptz,
    epoch              bigint NOT NULL DEFAULT 0,
    attempts           integer NOT NULL DEFAULT 0,
    error              text NOT NULL DEFAULT '',
    CONSTRAINT payment_purchases_attempt UNIQUE (organization_id, attempt),
    CONSTRAINT payment_purchases_open_has_a_session
        CHECK (state NOT IN ('open', 'processing') OR (session_id IS NOT NULL AND session_url IS NOT NULL)),
    CONSTRAINT payment_purchases_credited_has_a_payment CHECK (
        state IN ('created', 'open', 'processing', 'failed', 'expired')
        OR (payment_id IS NOT NULL AND credited_at IS NOT NULL)
    )
);

-- The Billing page reads an organization's purchases, newest first; ids are in order of time.
CREATE INDEX payment_purchases_of_organization ON payment_purchases (organization_id, id DESC);

-- The sweep reads what is due; what is final is never scanned.
CREATE INDEX payment_purchases_due ON payment_purchases (due_at) WHERE due_at IS NOT NULL;

-- The operator reads what does not agree.
CREATE INDEX payment_purchases_quarantine ON payment_purchases (created_at) WHERE quarantine <> '';

-- A row is one event that the card processor sent, signed. It only says which object to look at: the object itself is
-- fetched, and the event's own words about it are not kept.
CREATE TABLE payment_events (
    stripe_id   text PRIMARY KEY,
    -- Derived from stripe_id; what jobs know it by.
    id          uuid NOT NULL CONSTRAINT payment_events_id UNIQUE,
    type        text NOT NULL,
    object_id   text NOT NULL,
    -- The connected account it is about; ours when empty.
    account     text NOT NULL DEFAULT '',
    livemode    boolean NOT NULL,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    -- done: acted on, or nothing to do. flagged: it is about nothing we know, or could not be acted on; see note.
    state       text NOT NULL DEFAULT 'waiting'
        CONSTRAINT payment_events_state CHECK (state IN ('waiting', 'done', 'flagged')),
    note        text NOT NULL DEFAULT '',
    due_at      timestamptz DEFAULT now(),
    lease_until timestamptz,
    epoch       bigint NOT NULL DEFAULT 0,
    attempts    integer NOT NULL DEFAULT 0,
    error       text NOT NULL DEFAULT '',
    CONSTRAINT payment_events_due_until_done CHECK ((due_at IS NULL) = (state <> 'waiting'))
);

-- The sweep reads what is due.
CREATE INDEX payment_events_due ON payment_events (due_at) WHERE due_at IS NOT NULL;

-- The operator reads what is flagged, and an object's history.
CREATE INDEX payment_events_flagged ON payment_events (received_at) WHERE state = 'flagged';
CREATE INDEX payment_events_of_object ON payment_events (object_id);
