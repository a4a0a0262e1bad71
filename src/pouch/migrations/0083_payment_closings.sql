-- A row is an organization whose account was deleted: the processor must forget its cards and close its payment pages,
-- and money that still comes is given back. Its id is the organization's.
CREATE TABLE payment_closings (
    id          uuid PRIMARY KEY,
    -- closing: something is left to do at the processor. closed: nothing is; a payment that still comes begins it again.
    state       text NOT NULL DEFAULT 'closing' CONSTRAINT payment_closings_state CHECK (state IN ('closing', 'closed')),
    closed_at   timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz DEFAULT now(),
    lease_until timestamptz,
    epoch       bigint NOT NULL DEFAULT 0,
    attempts    integer NOT NULL DEFAULT 0,
    error       text NOT NULL DEFAULT ''
);
CREATE INDEX payment_closings_due ON payment_closings (due_at) WHERE due_at IS NOT NULL;

-- When the processor said that a removed card is off its customer. Until then it is asked again.
ALTER TABLE payment_cards ADD COLUMN detached_at timestamptz;
