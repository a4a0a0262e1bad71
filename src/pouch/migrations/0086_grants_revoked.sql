-- A grant whose unspent rest an operator took back. NULL until nothing of it is left.
ALTER TABLE ledger_grants ADD COLUMN revoked_at timestamptz;
