-- A program that a person signed in: an editor, Roo's command line, or whatever holds a static token of the operator's.
-- An editor has a secret, whose SHA-256 we keep, and fetches short session tokens with it; the others have one long token,
-- which names this row and is not kept. `organization_id` is whose money it spends: an editor may choose another one.
-- A device ends when it is revoked, at `expires_at`, or, an editor, when it was not seen for 30 days.
CREATE TABLE identity_devices (
    id               uuid PRIMARY KEY,
    kind             text NOT NULL CONSTRAINT identity_devices_known_kind CHECK (kind IN ('editor', 'cli', 'static')),
    person_id        uuid NOT NULL REFERENCES identity_people (id),
    organization_id  uuid NOT NULL REFERENCES identity_organizations (id),
    name             text NOT NULL CONSTRAINT identity_devices_named CHECK (name <> ''),
    secret_hash      bytea CONSTRAINT identity_devices_one_per_secret UNIQUE
                     CONSTRAINT identity_devices_sha256 CHECK (octet_length(secret_hash) = 32),
    address          text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    seen_at          timestamptz,
    expires_at       timestamptz NOT NULL CONSTRAINT identity_devices_end CHECK (expires_at > created_at),
    revoked_at       timestamptz,
    CONSTRAINT identity_devices_secret_of_editors CHECK ((kind = 'editor') = (secret_hash IS NOT NULL))
);

CREATE INDEX identity_devices_of_person ON identity_devices (person_id, id);

-- Every process asks each second which devices have just been revoked.
CREATE INDEX identity_devices_by_revocation ON identity_devices (revoked_at) WHERE revoked_at IS NOT NULL;

-- Permission that a person gave in the browser for one editor to sign in, within 60 seconds and once. What opens it is a
-- signature of its id, which is not kept. The editor's `state` buys one ticket that is used, ever.
CREATE TABLE identity_tickets (
    id               uuid PRIMARY KEY,
    state_hash       bytea NOT NULL CONSTRAINT identity_tickets_one_per_state UNIQUE
                     CONSTRAINT identity_tickets_sha256 CHECK (octet_length(state_hash) = 32),
    person_id        uuid NOT NULL REFERENCES identity_people (id),
    session_id       uuid NOT NULL,
    organization_id  uuid NOT NULL REFERENCES identity_organizations (id),
    name             text NOT NULL,
    callback_url     text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL,
    used_at          timestamptz,
    device_id        uuid
);

CREATE INDEX identity_tickets_by_end ON identity_tickets (expires_at);
