-- `amount_nanos` of a refund is what goes to the card. So much of it is fee, and so much tax; the rest is credits.
ALTER TABLE payment_refunds
    ADD COLUMN fee_nanos bigint NOT NULL DEFAULT 0
        CONSTRAINT payment_refunds_fee CHECK (fee_nanos >= 0 AND fee_nanos % 10000000 = 0),
    ADD COLUMN tax_nanos bigint NOT NULL DEFAULT 0
        CONSTRAINT payment_refunds_tax CHECK (tax_nanos >= 0 AND tax_nanos % 10000000 = 0),
    ADD CONSTRAINT payment_refunds_parts CHECK (fee_nanos + tax_nanos <= amount_nanos),
    -- What was posted from the books of fees and of tax. It is less than the above when they had gone back before.
    ADD COLUMN fee_back_nanos bigint NOT NULL DEFAULT 0 CONSTRAINT payment_refunds_fee_back CHECK (fee_back_nanos >= 0),
    ADD COLUMN tax_back_nanos bigint NOT NULL DEFAULT 0 CONSTRAINT payment_refunds_tax_back CHECK (tax_back_nanos >= 0),
    DROP CONSTRAINT payment_refunds_posted,
    ADD CONSTRAINT payment_refunds_posted CHECK (
        (posted_at IS NULL AND taken_nanos + owed_nanos + lost_nanos + fee_back_nanos + tax_back_nanos = 0)
        OR (posted_at IS NOT NULL
            AND taken_nanos + owed_nanos + lost_nanos + fee_back_nanos + tax_back_nanos = amount_nanos)
    );
