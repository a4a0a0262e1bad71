-- The embedded processor works out a tax, too, when it is asked to: at one rate for all the world.
ALTER TABLE cards_sessions
    ADD COLUMN computes_tax boolean NOT NULL DEFAULT false,
    ADD COLUMN tax_cents bigint NOT NULL DEFAULT 0
        CONSTRAINT cards_sessions_tax CHECK (tax_cents BETWEEN 0 AND amount_cents);
