-- A key may end by itself, and may be switched off for a while. Both count from the next look at the key; what it may
-- spend is stopped at once by the ledger, which blocks a key that is switched off.
ALTER TABLE identity_keys ADD COLUMN expires_at timestamptz;
ALTER TABLE identity_keys ADD COLUMN disabled_at timestamptz;
ALTER TABLE identity_keys ADD COLUMN updated_at timestamptz;
