-- Vouchers that were made together at the desk; the codes of a batch are shown once. Its id is derived from the form that
-- asked for it, so that one that is sent twice makes one batch.
CREATE TABLE voucher_batches (
    id         uuid PRIMARY KEY,
    made_by    text NOT NULL,
    size       integer NOT NULL CONSTRAINT voucher_batches_size CHECK (size > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE vouchers ADD COLUMN batch_id uuid REFERENCES voucher_batches (id);
-- The desk cancels a batch as a whole.
CREATE INDEX vouchers_of_batch ON vouchers (batch_id) WHERE batch_id IS NOT NULL;
