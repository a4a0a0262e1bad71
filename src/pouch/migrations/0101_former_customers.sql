-- A customer that the card processor did not know any more, and how often that has happened: each new one has a key of
-- its own, or the processor would answer with the old one again.
ALTER TABLE payment_customers ADD COLUMN replaced integer NOT NULL DEFAULT 0
    CONSTRAINT payment_customers_replaced CHECK (replaced >= 0);
