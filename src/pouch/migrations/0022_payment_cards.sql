-- A row is a card that somebody agreed to have charged later. Of the card itself nothing is kept but what its owner
-- knows it by, when it ends, and the processor's ids.
CREATE TABLE payment_cards (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    mode            text NOT NULL CONSTRAINT payment_cards_mode CHECK (mode IN ('live', 'test', 'embedded')),
    stripe_id       text NOT NULL,
    brand           text NOT NULL,
    last4           text NOT NULL CONSTRAINT payment_cards_last4 CHECK (last4 ~ '^[0-9]{4}$'),
    exp_month       integer NOT NULL CONSTRAINT payment_cards_exp_month CHECK (exp_month BETWEEN 1 AND 12),
    exp_year        integer NOT NULL,
    -- The same for the same number, whoever saves it; nobody can read the number from it.
    fingerprint     text NOT NULL,
    is_default      boolean NOT NULL DEFAULT false,
    -- Where notices about it go: whoever saved it.
    email           text NOT NULL,
    added_at        timestamptz NOT NULL DEFAULT now(),
    removed_at      timestamptz,
    CONSTRAINT payment_cards_stripe_id UNIQUE (mode, stripe_id),
    CONSTRAINT payment_cards_removed_is_no_default CHECK (removed_at IS NULL OR NOT is_default)
);

CREATE UNIQUE INDEX payment_cards_one_default ON payment_cards (organization_id, mode) WHERE is_default;
CREATE INDEX payment_cards_of_organization ON payment_cards (organization_id) WHERE removed_at IS NULL;

-- A row is one visit to the processor's page to save a card without paying. Its id is the key of the request.
CREATE TABLE payment_card_setups (
    id                 uuid PRIMARY KEY,
    organization_id    uuid NOT NULL,
    person_id          uuid NOT NULL,
    email              text NOT NULL,
    attempt            text NOT NULL CONSTRAINT payment_card_setups_attempt_text CHECK (attempt ~ '^[!-~]{1,100}$'),
    mode               text NOT NULL CONSTRAINT payment_card_setups_mode CHECK (mode IN ('live', 'test', 'embedded')),
    state              text NOT NULL DEFAULT 'created'
        CONSTRAINT payment_card_setups_state CHECK (state IN ('created', 'open', 'done', 'failed', 'expired')),
    created_at         timestamptz NOT NULL DEFAULT now(),
    session_expires_at timestamptz NOT NULL,
    session_id         text CONSTRAINT payment_card_setups_session UNIQUE,
    session_url        text,
    card_id            uuid REFERENCES payment_cards (id),
    due_at             timestamptz DEFAULT now() + interval '2 minutes',
    lease_until        timestamptz,
    epoch              bigint NOT NULL DEFAULT 0,
    attempts           integer NOT NULL DEFAULT 0,
    error              text NOT NULL DEFAULT '',
    CONSTRAINT payment_card_setups_attempt UNIQUE (organization_id, attempt),
    CONSTRAINT payment_card_setups_done_has_a_card CHECK ((state = 'done') = (card_id IS NOT NULL))
);

CREATE INDEX payment_card_setups_due ON payment_card_setups (due_at) WHERE due_at IS NOT NULL;

-- A row says why an organization's cards are not charged by themselves: a dispute, a refund of spent credits, a warning
-- of fraud. Each cause is lifted by whoever made it.
CREATE TABLE payment_suspensions (
    organization_id uuid NOT NULL,
    cause           text NOT NULL,
    reason          text NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    lifted_at       timestamptz,
    PRIMARY KEY (organization_id, cause)
);

-- A purchase is made on the payment page, or by charging a saved card; the latter has no session.
ALTER TABLE payment_purchases
    ADD COLUMN kind text NOT NULL DEFAULT 'checkout'
        CONSTRAINT payment_purchases_kind CHECK (kind IN ('checkout', 'top_up')),
    -- The buyer agreed to have the card saved, and charged later as the auto top-up says.
    ADD COLUMN saves_card boolean NOT NULL DEFAULT false,
    -- The saved card that is charged: the request is the same each time it is repeated.
    ADD COLUMN method_id text,
    ADD CONSTRAINT payment_purchases_top_up_has_a_card CHECK ((kind = 'top_up') = (method_id IS NOT NULL)),
    DROP CONSTRAINT payment_purchases_open_has_a_session,
    ADD CONSTRAINT payment_purchases_open_has_a_session CHECK (
        state NOT IN ('open', 'processing') OR kind = 'top_up' OR (session_id IS NOT NULL AND session_url IS NOT NULL)
    );
