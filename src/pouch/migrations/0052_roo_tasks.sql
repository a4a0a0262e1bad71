-- A task of a person's editor: what they asked it and what it did. This is one of the two places that hold prompts and
-- answers; the person can read, search, delete and switch it off. `client_task_id` is the editor's name for it.
-- A deleted task stays as a row without content for a while, so that an editor that goes on sending does not bring it back.
CREATE TABLE roo_tasks (
    id               uuid PRIMARY KEY,
    person_id        uuid NOT NULL,
    organization_id  uuid NOT NULL,
    client_task_id   text NOT NULL CONSTRAINT roo_tasks_named CHECK (char_length(client_task_id) BETWEEN 1 AND 100),
    title            text,
    mode             text,
    model            text,
    provider         text,
    repository       text,
    tokens_in        bigint NOT NULL DEFAULT 0,
    tokens_out       bigint NOT NULL DEFAULT 0,
    cost_nanos       bigint NOT NULL DEFAULT 0,
    size_bytes       bigint NOT NULL DEFAULT 0,
    messages         integer NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    completed_at     timestamptz,
    deleted_at       timestamptz,
    CONSTRAINT roo_tasks_one_per_person UNIQUE (person_id, client_task_id)
);

CREATE INDEX roo_tasks_of_person ON roo_tasks (person_id, updated_at DESC, id) WHERE deleted_at IS NULL;
CREATE INDEX roo_tasks_of_organization ON roo_tasks (organization_id, updated_at DESC, id) WHERE deleted_at IS NULL;
-- The retention job looks for what nobody touched for long.
CREATE INDEX roo_tasks_by_age ON roo_tasks (updated_at);

-- One message of a task. The editor names it by its time in milliseconds; the same time again is a newer text of it.
CREATE TABLE roo_messages (
    task_id     uuid NOT NULL REFERENCES roo_tasks (id) ON DELETE CASCADE,
    ts          bigint NOT NULL,
    kind        text NOT NULL CONSTRAINT roo_messages_known_kind CHECK (kind IN ('say', 'ask')),
    about       text NOT NULL,
    text        text NOT NULL,
    images      integer NOT NULL DEFAULT 0,
    is_partial  boolean NOT NULL DEFAULT false,
    words       tsvector GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, left(text, 20000))) STORED,
    PRIMARY KEY (task_id, ts)
);

CREATE INDEX roo_messages_by_word ON roo_messages USING gin (words);

-- A call to a model that an editor told of, whoever served it. It has no id of its own, so its content is its name: told
-- twice, it counts once.
CREATE TABLE roo_completions (
    task_id  uuid NOT NULL REFERENCES roo_tasks (id) ON DELETE CASCADE,
    digest   bytea NOT NULL CONSTRAINT roo_completions_sha256 CHECK (octet_length(digest) = 32),
    PRIMARY KEY (task_id, digest)
);
