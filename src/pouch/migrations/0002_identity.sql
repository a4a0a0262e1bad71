-- A person who can sign in. `email` is how they write their address, `email_canonical` the one spelling that all its
-- look-alikes share: two people never share it. A person without a password cannot sign in with one.
CREATE TABLE identity_people (
    id               uuid PRIMARY KEY,
    email            text NOT NULL,
    email_canonical  text NOT NULL CONSTRAINT identity_people_one_per_address UNIQUE,
    password_hash    text,
    is_operator      boolean NOT NULL DEFAULT false,
    verified_at      timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now()
);

-- The one-time link asks at each start whether there is an operator.
CREATE INDEX identity_people_operators ON identity_people (id) WHERE is_operator;

-- Who owns credits and keys. Each person has exactly one personal organization, made in the same transaction.
CREATE TABLE identity_organizations (
    id           uuid PRIMARY KEY,
    name         text NOT NULL CONSTRAINT identity_organizations_named CHECK (name <> ''),
    personal_of  uuid CONSTRAINT identity_organizations_one_personal UNIQUE REFERENCES identity_people (id),
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX identity_organizations_by_name ON identity_organizations (name) WHERE personal_of IS NULL;

-- A person belongs to an organization, in one role.
CREATE TABLE identity_memberships (
    organization_id  uuid NOT NULL REFERENCES identity_organizations (id),
    person_id        uuid NOT NULL REFERENCES identity_people (id),
    role             text NOT NULL
                     CONSTRAINT identity_memberships_known_role CHECK (role IN ('owner', 'admin', 'billing', 'member')),
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, person_id)
);

CREATE INDEX identity_memberships_of_person ON identity_memberships (person_id);

-- A sign-in on one browser, looking at one organization. The browser has the secret, we have its SHA-256.
-- It ends when it is revoked, when nobody used it for 30 days, or at `expires_at`.
CREATE TABLE identity_sessions (
    id               uuid PRIMARY KEY,
    secret_hash      bytea NOT NULL CONSTRAINT identity_sessions_one_per_secret UNIQUE
                     CONSTRAINT identity_sessions_sha256 CHECK (octet_length(secret_hash) = 32),
    person_id        uuid NOT NULL REFERENCES identity_people (id),
    organization_id  uuid NOT NULL REFERENCES identity_organizations (id),
    user_agent       text NOT NULL,
    address          text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    seen_at          timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz NOT NULL CONSTRAINT identity_sessions_end CHECK (expires_at > created_at),
    revoked_at       timestamptz
);

CREATE INDEX identity_sessions_of_person ON identity_sessions (person_id);

-- An API key. Its secret was shown once; we have its SHA-256 and its last four characters. Revoked keys stay, because
-- usage names them.
CREATE TABLE identity_keys (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL REFERENCES identity_organizations (id),
    person_id        uuid NOT NULL REFERENCES identity_people (id),
    name             text NOT NULL CONSTRAINT identity_keys_named CHECK (name <> ''),
    secret_hash      bytea NOT NULL CONSTRAINT identity_keys_one_per_secret UNIQUE
                     CONSTRAINT identity_keys_sha256 CHECK (octet_length(secret_hash) = 32),
    hint             text NOT NULL CONSTRAINT identity_keys_hint CHECK (char_length(hint) = 4),
    scopes           text[] NOT NULL CONSTRAINT identity_keys_known_scopes CHECK (
                         cardinality(scopes) > 0
                         AND scopes <@ ARRAY['inference', 'billing:read', 'billing:write', 'agents', 'keys']
                     ),
    created_at       timestamptz NOT NULL DEFAULT now(),
    used_at          timestamptz,
    revoked_at       timestamptz
);

CREATE INDEX identity_keys_of_organization ON identity_keys (organization_id, id);

-- Every key ring asks each second which keys have just been revoked.
CREATE INDEX identity_keys_by_revocation ON identity_keys (revoked_at) WHERE revoked_at IS NOT NULL;

-- The one link, printed at start, with which the first operator registers. At most one row; none once there is an
-- operator.
CREATE TABLE identity_first_tickets (
    only_one     boolean PRIMARY KEY DEFAULT true CONSTRAINT identity_first_tickets_only_one CHECK (only_one),
    secret_hash  bytea NOT NULL CONSTRAINT identity_first_tickets_sha256 CHECK (octet_length(secret_hash) = 32),
    created_at   timestamptz NOT NULL DEFAULT now()
);
