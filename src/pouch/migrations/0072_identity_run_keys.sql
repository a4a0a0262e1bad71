-- Keys that Pouch makes for an agent's run. `counts_for` are further subjects (opaque here) whose limits and blocks
-- hold for the key's calls: the run, and all agents of the organization. `model_ids` are the only models it may call.
-- People's own keys have neither.
ALTER TABLE identity_keys
    ADD COLUMN counts_for uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN model_ids  text[];
