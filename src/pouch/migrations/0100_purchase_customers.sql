-- The customer that a purchase was made with, so that it is still known, and what was paid still belongs to it, after the
-- organization's customer was replaced by another one. NULL: the organization's, from before this column.
ALTER TABLE payment_purchases ADD COLUMN customer text;
