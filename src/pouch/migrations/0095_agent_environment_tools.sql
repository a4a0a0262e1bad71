-- The versions of tools that an environment wants, such as "python 3.12": names of what the operator has, one a line.
ALTER TABLE agent_environments ADD COLUMN tools text NOT NULL DEFAULT '';
