-- Whoever signs up is a person at once and unverified until they press the link in the mail. Until then an address is
-- nobody's: any number of unverified people may have typed it, and only one of them can become the one who has it. So
-- a sign-up says nothing about who is here, and nobody can keep an address that is not theirs.
ALTER TABLE identity_people DROP CONSTRAINT identity_people_one_per_address;
CREATE UNIQUE INDEX identity_people_one_verified_per_address ON identity_people (email_canonical)
    WHERE verified_at IS NOT NULL;

-- Signing in looks for the verified person and the newest unverified one.
CREATE INDEX identity_people_by_address ON identity_people (email_canonical, id DESC);

-- A person who deleted their account stays as a row without a name, because purchases and usage speak of it.
ALTER TABLE identity_people ADD COLUMN deleted_at timestamptz
    CONSTRAINT identity_people_deleted_cannot_enter CHECK (
        deleted_at IS NULL OR (password_hash IS NULL AND verified_at IS NULL AND NOT is_operator)
    );

-- When the password was last given in this session; what is hard to undo asks for it again after a while.
ALTER TABLE identity_sessions ADD COLUMN confirmed_at timestamptz;
UPDATE identity_sessions SET confirmed_at = created_at;
ALTER TABLE identity_sessions ALTER COLUMN confirmed_at SET DEFAULT now(), ALTER COLUMN confirmed_at SET NOT NULL;

-- A link that was sent by mail and does one thing once. The token in it is made from `id` and the operator's secret key
-- when the letter is sent, so that no row here or in the outbox opens anything.
--   verify   the address of `person_id` is theirs
--   reset    `person_id` chooses a new password; a row without a person was asked for an address that nobody has
--   change   `person_id` moves to this address
--   undo     this is the address that `person_id` had before; while it is open, nobody else can take it
--   invite   somebody may register with this address
CREATE TABLE identity_links (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL
                     CONSTRAINT identity_links_known_kind CHECK (kind IN ('verify', 'reset', 'change', 'undo', 'invite')),
    person_id        uuid REFERENCES identity_people (id),
    email            text NOT NULL,
    email_canonical  text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL CONSTRAINT identity_links_end CHECK (expires_at > created_at),
    -- Used, replaced, or no longer meant.
    ended_at         timestamptz,
    CONSTRAINT identity_links_have_a_person CHECK (person_id IS NOT NULL OR kind IN ('reset', 'invite'))
);

CREATE INDEX identity_links_of_person ON identity_links (person_id) WHERE ended_at IS NULL;
CREATE INDEX identity_links_reserved ON identity_links (email_canonical) WHERE kind = 'undo' AND ended_at IS NULL;
-- The chore that forgets old ones.
CREATE INDEX identity_links_by_age ON identity_links (expires_at);

-- From which browser and network a person signed in, and when last: a sign-in from elsewhere is told by mail.
CREATE TABLE identity_places (
    person_id  uuid NOT NULL REFERENCES identity_people (id),
    browser    text NOT NULL,
    network    text NOT NULL,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person_id, browser, network)
);

-- The welcome credits are given once to each mailbox, whatever becomes of the account: the SHA-256 of its address
-- without dots and +tags.
CREATE TABLE identity_welcomes (
    mailbox_hash  bytea PRIMARY KEY CONSTRAINT identity_welcomes_sha256 CHECK (octet_length(mailbox_hash) = 32),
    given_at      timestamptz NOT NULL DEFAULT now()
);
