-- A row is an organization's rule for buying credits by itself. There is none until somebody switches it on once.
CREATE TABLE topup_rules (
    -- The organization's.
    id                  uuid PRIMARY KEY,
    -- off: by a person. paused: by us, until a person has done something, or another card is there. suspended: something
    -- is owed, disputed or suspected.
    state               text NOT NULL CONSTRAINT topup_rules_state CHECK (state IN ('off', 'armed', 'paused', 'suspended')),
    -- Why it is paused or suspended, for programs and in words.
    pause               text NOT NULL DEFAULT '' CONSTRAINT topup_rules_pause CHECK (
        pause IN ('', 'card_refused', 'declined', 'needs_confirmation', 'no_card', 'suspended')
    ),
    reason              text NOT NULL DEFAULT '',
    threshold_nanos     bigint NOT NULL CONSTRAINT topup_rules_threshold CHECK (threshold_nanos > 0),
    -- Either so much at a time, or up to so much.
    amount_nanos        bigint CONSTRAINT topup_rules_amount CHECK (amount_nanos > 0),
    target_nanos        bigint CONSTRAINT topup_rules_target CHECK (target_nanos > threshold_nanos),
    cap_nanos           bigint NOT NULL CONSTRAINT topup_rules_cap CHECK (cap_nanos > 0),
    daily_max           integer NOT NULL CONSTRAINT topup_rules_daily_max CHECK (daily_max > 0),
    -- Who switched it on, and where letters about it go.
    person_id           uuid NOT NULL,
    email               text NOT NULL,
    -- Declines in a row that may pass by themselves; a success or another card begins anew.
    failures            integer NOT NULL DEFAULT 0,
    -- No charge before this time: a pause between charges, a back-off, a window whose cap is reached.
    wait_until          timestamptz,
    -- The card that was declined last: only a success, or another card, makes that be forgotten.
    blocked_fingerprint text NOT NULL DEFAULT '',
    version             integer NOT NULL DEFAULT 1,
    changed_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT topup_rules_amount_or_target CHECK ((amount_nanos IS NULL) <> (target_nanos IS NULL)),
    CONSTRAINT topup_rules_paused_says_why CHECK ((state IN ('paused', 'suspended')) = (pause <> ''))
);

-- A row is one attempt to top up. Its id is that of its purchase, and the key under which the card is charged.
CREATE TABLE topup_attempts (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    state           text NOT NULL CONSTRAINT topup_attempts_state CHECK (state IN (
        'created', 'submitted', 'unknown', 'credited', 'needs_action', 'recovered', 'declined', 'not_tried'
    )),
    amount_nanos    bigint NOT NULL CONSTRAINT topup_attempts_amount CHECK (amount_nanos >= 0 AND amount_nanos % 10000000 = 0),
    -- The balance, and what was pending, that made it.
    balance_nanos   bigint NOT NULL,
    pending_nanos   bigint NOT NULL,
    card_id         uuid,
    card_name       text NOT NULL DEFAULT '',
    fingerprint     text NOT NULL DEFAULT '',
    -- Why it was not credited: the processor's code, and words for the person.
    code            text NOT NULL DEFAULT '',
    reason          text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    -- When the request was first sent: its key is good for a day from then.
    submitted_at    timestamptz,
    ended_at        timestamptz,
    -- So long the mailed link can be used to confirm it with the bank.
    confirm_until   timestamptz,
    due_at          timestamptz,
    lease_until     timestamptz,
    epoch           bigint NOT NULL DEFAULT 0,
    attempts        integer NOT NULL DEFAULT 0,
    error           text NOT NULL DEFAULT '',
    CONSTRAINT topup_attempts_due CHECK ((due_at IS NOT NULL) = (state IN ('created', 'submitted', 'unknown'))),
    CONSTRAINT topup_attempts_ended CHECK ((ended_at IS NOT NULL) = (state NOT IN ('created', 'submitted', 'unknown', 'needs_action'))),
    CONSTRAINT topup_attempts_sent CHECK (state NOT IN ('submitted', 'unknown') OR submitted_at IS NOT NULL),
    CONSTRAINT topup_attempts_confirm CHECK (state <> 'needs_action' OR confirm_until IS NOT NULL)
);

-- Single flight: while one attempt may still charge, there is no other.
CREATE UNIQUE INDEX topup_attempts_one_under_way ON topup_attempts (organization_id)
    WHERE state IN ('created', 'submitted', 'unknown');
CREATE INDEX topup_attempts_of_organization ON topup_attempts (organization_id, id DESC);
CREATE INDEX topup_attempts_due_at ON topup_attempts (due_at) WHERE due_at IS NOT NULL;
