-- Card thieves try numbers on small purchases. A row is one card that was refused on a purchase of ours; who has three of
-- them in an hour waits, and so does whoever comes from the same network.
CREATE TABLE payment_refused_cards (
    charge_id       text PRIMARY KEY,
    organization_id uuid NOT NULL,
    purchase_id     uuid NOT NULL CONSTRAINT payment_refused_cards_purchase REFERENCES payment_purchases (id),
    refused_at      timestamptz NOT NULL
);

CREATE INDEX payment_refused_cards_of_organization ON payment_refused_cards (organization_id, refused_at);
CREATE INDEX payment_refused_cards_of_purchase ON payment_refused_cards (purchase_id);

-- From which network a purchase was begun; forgotten with the hour that it is kept for.
CREATE TABLE payment_networks (
    purchase_id uuid PRIMARY KEY CONSTRAINT payment_networks_purchase REFERENCES payment_purchases (id),
    network     text NOT NULL,
    noted_at    timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX payment_networks_of_network ON payment_networks (network, noted_at);
