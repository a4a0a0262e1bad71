-- What a top-up charges on top of the credits. The caps count all that is charged.
ALTER TABLE topup_attempts
    ADD COLUMN fee_nanos bigint NOT NULL DEFAULT 0
        CONSTRAINT topup_attempts_fee CHECK (fee_nanos >= 0 AND fee_nanos % 10000000 = 0),
    ADD COLUMN tax_nanos bigint NOT NULL DEFAULT 0
        CONSTRAINT topup_attempts_tax CHECK (tax_nanos >= 0 AND tax_nanos % 10000000 = 0);
