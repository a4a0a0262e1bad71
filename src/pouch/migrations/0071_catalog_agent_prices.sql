-- What an hour of an agent's running time costs from effective_at until the next row, in nano-dollars. 0 is free.
-- The newest row that is not in the future is in force. A run is billed by the price that was in force at its start.
CREATE TABLE catalog_agent_prices (
    id             uuid PRIMARY KEY,
    effective_at   timestamptz NOT NULL CONSTRAINT catalog_agent_prices_moment UNIQUE,
    nanos_per_hour bigint NOT NULL CONSTRAINT catalog_agent_prices_amount CHECK (nanos_per_hour >= 0)
);
CREATE TRIGGER catalog_agent_prices_stay BEFORE UPDATE OR DELETE ON catalog_agent_prices
    FOR EACH ROW EXECUTE FUNCTION catalog_prices_stay();
