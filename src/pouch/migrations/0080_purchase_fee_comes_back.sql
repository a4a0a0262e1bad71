-- Whether the fee goes back in proportion when credits of this purchase are refunded here. Said before it began, and
-- stays as it was then.
ALTER TABLE payment_purchases ADD COLUMN fee_comes_back boolean NOT NULL DEFAULT false;
