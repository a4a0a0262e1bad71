-- Versions of settings, of people and organizations alike. An editor fetches settings anew where the version differs from
-- the one it has, also when it changes to another organization: so no two settings ever share one.
CREATE SEQUENCE roo_settings_versions;

-- What a person wants of their editors. The row is made when an editor or a page first asks.
CREATE TABLE roo_person_settings (
    person_id     uuid PRIMARY KEY,
    version       bigint NOT NULL DEFAULT nextval('roo_settings_versions'),
    keeps_tasks   boolean NOT NULL DEFAULT true,
    keep_days     integer DEFAULT 90 CONSTRAINT roo_person_settings_days CHECK (keep_days BETWEEN 1 AND 3650),
    llm_features  boolean
);

-- What the owners of a shared organization want of the editors of its members.
CREATE TABLE roo_organization_settings (
    organization_id    uuid PRIMARY KEY,
    version            bigint NOT NULL DEFAULT nextval('roo_settings_versions'),
    records_tasks      boolean NOT NULL DEFAULT false,
    members_see_tasks  boolean NOT NULL DEFAULT false,
    shares_tasks       boolean NOT NULL DEFAULT true,
    shares_publicly    boolean NOT NULL DEFAULT false,
    share_days         integer NOT NULL DEFAULT 30
                       CONSTRAINT roo_organization_settings_share_days CHECK (share_days BETWEEN 1 AND 365),
    allows_all         boolean NOT NULL DEFAULT true,
    allowed            jsonb NOT NULL DEFAULT '{}',
    hidden_mcps        text[] NOT NULL DEFAULT '{}',
    hides_marketplace  boolean NOT NULL DEFAULT false
);
