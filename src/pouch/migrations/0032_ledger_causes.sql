-- The operator's desk reads everything that one purchase has caused.
CREATE INDEX ledger_transfers_of_cause ON ledger_transfers (cause) WHERE cause IS NOT NULL;
