-- What a buyer pays on top of the credits. Both were said before the purchase began, and stay as they were then.
ALTER TABLE payment_purchases
    ADD COLUMN fee_nanos bigint NOT NULL DEFAULT 0
        CONSTRAINT payment_purchases_fee CHECK (fee_nanos >= 0 AND fee_nanos % 10000000 = 0),
    -- off: no tax. fixed: the operator's own rate. automatic: Stripe works it out from the buyer's address.
    ADD COLUMN tax_mode text NOT NULL DEFAULT 'off'
        CONSTRAINT payment_purchases_tax_mode CHECK (tax_mode IN ('off', 'fixed', 'automatic')),
    -- NULL until Stripe has worked it out.
    ADD COLUMN tax_nanos bigint DEFAULT 0
        CONSTRAINT payment_purchases_tax CHECK (tax_nanos >= 0 AND tax_nanos % 10000000 = 0),
    -- What the buyer is told it is, such as "VAT 20 %".
    ADD COLUMN tax_name text NOT NULL DEFAULT '',
    ADD CONSTRAINT payment_purchases_tax_is_known CHECK (
        CASE tax_mode WHEN 'off' THEN tax_nanos = 0 WHEN 'fixed' THEN tax_nanos IS NOT NULL
                      ELSE tax_nanos IS NOT NULL OR credited_at IS NULL END
    );
