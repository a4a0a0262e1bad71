-- Where the workspace of an attempt lies: another machine cannot save it. Empty: it ended with its worker.
-- `is_left`: the run went on without it, or ended; whoever sweeps that disk saves it before anything there is removed.
ALTER TABLE agent_run_attempts ADD COLUMN disk text NOT NULL DEFAULT '';
ALTER TABLE agent_run_attempts ADD COLUMN is_left boolean NOT NULL DEFAULT false;
