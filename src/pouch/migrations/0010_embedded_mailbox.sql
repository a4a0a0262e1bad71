-- A row is one message as the embedded mail server accepted it, decoded for reading. It stands in for what a mail
-- provider would keep; nothing of Pouch's own depends on it, and only the newest are kept.
CREATE TABLE embedded_mails (
    id           uuid PRIMARY KEY,
    -- The order of arrival, which is also what "the newest" goes by.
    seq          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT embedded_mails_in_order UNIQUE,
    to_address   text NOT NULL,
    from_address text NOT NULL,
    subject      text NOT NULL,
    text         text NOT NULL,
    html         text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now()
);

-- People and tests ask for one address, newest first, however it is spelled.
CREATE INDEX embedded_mails_by_address ON embedded_mails (lower(to_address), seq DESC);
