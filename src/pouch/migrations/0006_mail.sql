-- A row is one letter that Pouch owes somebody, written in the transaction it speaks of and sent later by a worker.
-- `context` is what its templates show. It holds no secrets: whoever reads the database may read it.
CREATE TABLE mail_letters (
    id          uuid PRIMARY KEY,
    -- One letter per cause, such as "purchase:" and its id, however often the cause is handled.
    key         text NOT NULL CONSTRAINT mail_letters_key_once UNIQUE,
    kind        text NOT NULL,
    to_address  text NOT NULL CONSTRAINT mail_letters_one_line CHECK (to_address !~ '[[:cntrl:]]'),
    context     jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    state       text NOT NULL DEFAULT 'queued'
        CONSTRAINT mail_letters_state CHECK (state IN ('queued', 'sending', 'sent', 'failed')),
    -- What every row that a job moves has (jobs/README.md). No due_at: nothing is left to do.
    due_at      timestamptz DEFAULT now(),
    lease_until timestamptz,
    epoch       bigint NOT NULL DEFAULT 0,
    attempts    integer NOT NULL DEFAULT 0,
    -- What the last attempt failed with, for the operator.
    error       text NOT NULL DEFAULT '',
    sent_at     timestamptz,
    CONSTRAINT mail_letters_sent_has_its_time CHECK ((state = 'sent') = (sent_at IS NOT NULL)),
    CONSTRAINT mail_letters_due_until_done CHECK ((due_at IS NULL) = (state IN ('sent', 'failed')))
);

-- The sweep reads what is due; what is done is never scanned.
CREATE INDEX mail_letters_due ON mail_letters (due_at) WHERE due_at IS NOT NULL;

-- The operator reads what could not be delivered.
CREATE INDEX mail_letters_failed ON mail_letters (created_at) WHERE state = 'failed';
