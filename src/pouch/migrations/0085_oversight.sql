-- A row is something that an operator asked for and that another operator must allow first, because it moves more money
-- than one operator may move alone. `wish` is what is to be done, as the desk wrote it; `summary` says it in words.
CREATE TABLE oversight_requests (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL CONSTRAINT oversight_requests_kind CHECK (kind IN ('grant', 'vouchers', 'refund')),
    amount_nanos bigint NOT NULL CONSTRAINT oversight_requests_amount CHECK (amount_nanos > 0),
    summary      text NOT NULL,
    wish         jsonb NOT NULL,
    -- waiting: for another operator. allowed: the asker may do it now, once. done: it was done. The time of a request that
    -- still waits, or was allowed and not used, ends at expires_at.
    state        text NOT NULL DEFAULT 'waiting' CONSTRAINT oversight_requests_state CHECK (state IN (
        'waiting', 'allowed', 'done', 'refused', 'withdrawn'
    )),
    asked_by     uuid NOT NULL,
    asked_email  text NOT NULL,
    asked_at     timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL CONSTRAINT oversight_requests_time CHECK (expires_at > asked_at),
    decided_by   uuid,
    decided_email text,
    decided_at   timestamptz,
    CONSTRAINT oversight_requests_decided CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    -- The rule of two: whoever asked can take a request back, and nothing else.
    CONSTRAINT oversight_requests_two CHECK (decided_by <> asked_by OR state = 'withdrawn'),
    CONSTRAINT oversight_requests_allowed CHECK (state = 'waiting' OR decided_by IS NOT NULL)
);

-- The desk lists what waits, and the newest of the others.
CREATE INDEX oversight_requests_waiting ON oversight_requests (asked_at) WHERE state IN ('waiting', 'allowed');

-- A row is one thing that an operator did at the desk. Rows are never changed.
CREATE TABLE oversight_acts (
    -- Derived from the form that caused it, so that one that is sent twice is one act.
    id           uuid PRIMARY KEY,
    seq          bigint GENERATED ALWAYS AS IDENTITY,
    at           timestamptz NOT NULL DEFAULT now(),
    person_id    uuid NOT NULL,
    email        text NOT NULL,
    kind         text NOT NULL,
    -- What it may move: counts in what an operator may do alone within a day, unless another operator allowed it.
    amount_nanos bigint NOT NULL DEFAULT 0 CONSTRAINT oversight_acts_amount CHECK (amount_nanos >= 0),
    request_id   uuid REFERENCES oversight_requests (id),
    text         text NOT NULL,
    -- A page about it, or nothing.
    path         text NOT NULL DEFAULT ''
);

-- The log, newest first, and what one operator did alone today.
CREATE UNIQUE INDEX oversight_acts_seq ON oversight_acts (seq);
CREATE INDEX oversight_acts_of_person ON oversight_acts (person_id, at) WHERE amount_nanos > 0;

CREATE FUNCTION oversight_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what an operator did is never changed or deleted';
END $$;
CREATE TRIGGER oversight_acts_append_only BEFORE UPDATE OR DELETE ON oversight_acts
    FOR EACH ROW EXECUTE FUNCTION oversight_refuse_change();
