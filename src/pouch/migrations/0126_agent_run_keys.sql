-- The API key that started a run, whose spending limit holds for it. NULL: a person, a schedule or an event did.
ALTER TABLE agent_runs ADD COLUMN key_id uuid;
