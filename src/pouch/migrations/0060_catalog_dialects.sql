-- How an upstream wants to be asked: as_is, or with the changes that gateway/dialects.py makes for it.
ALTER TABLE catalog_upstreams ADD COLUMN dialect text NOT NULL DEFAULT 'as_is'
    CONSTRAINT catalog_upstreams_dialect CHECK (dialect IN ('as_is', 'openai', 'plain'));

-- `drops` names the fields of a request that this model refuses and that are left out for it. `advice` is what the model
-- list tells clients beside the figures (default temperature, settings, deprecated): JSON, as it is listed.
ALTER TABLE catalog_models ADD COLUMN drops text[] NOT NULL DEFAULT '{}';
ALTER TABLE catalog_models ADD COLUMN advice text NOT NULL DEFAULT '{}';
