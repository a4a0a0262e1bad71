-- A limit may also be one of a task of an agent: what the operator lets any single task spend.
ALTER TABLE ledger_limits DROP CONSTRAINT ledger_limits_kind;
ALTER TABLE ledger_limits ADD CONSTRAINT ledger_limits_kind CHECK (kind IN ('run', 'task', 'key', 'member', 'organization'));
