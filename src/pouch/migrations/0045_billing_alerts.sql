-- A row is what an organization wants to be told about its balance, and what it was told. An `armed` notice is sent when
-- the balance is below its mark, and is armed again when it is above: one letter for each crossing.
CREATE TABLE billing_alerts (
    organization_id uuid PRIMARY KEY,
    -- NULL: no notice of a low balance.
    low_nanos       bigint CONSTRAINT billing_alerts_low CHECK (low_nanos > 0),
    low_armed       boolean NOT NULL DEFAULT true,
    tells_zero      boolean NOT NULL DEFAULT true,
    zero_armed      boolean NOT NULL DEFAULT true,
    tells_month     boolean NOT NULL DEFAULT true,
    -- Counts the crossings: a letter's key.
    crossings       bigint NOT NULL DEFAULT 0
);

-- A row is a statement that was mailed, or that nobody wanted: each month once.
CREATE TABLE billing_statements_told (
    organization_id uuid NOT NULL,
    month           date NOT NULL,
    PRIMARY KEY (organization_id, month)
);
