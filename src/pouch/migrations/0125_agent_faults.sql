-- An attempt that ends by a fault of ours gives back what its running time was charged: began_us is how long the run had
-- run when the attempt began (NULL: it began before this was written down), returned_nanos what of a slice came back.
ALTER TABLE agent_run_attempts ADD COLUMN began_us bigint;
ALTER TABLE agent_run_slices
    ADD COLUMN returned_nanos bigint NOT NULL DEFAULT 0
        CONSTRAINT agent_run_slices_returned CHECK (returned_nanos BETWEEN 0 AND charged_nanos);
