-- In what the amounts of a balance transaction are. One that is not in US dollars is written down and nothing more: it is
-- posted nowhere, and compared with nothing.
ALTER TABLE payment_movements ADD COLUMN currency text NOT NULL DEFAULT 'usd';
