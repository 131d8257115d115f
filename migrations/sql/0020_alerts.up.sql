-- Alerts (engine/alerts.go): rules, where what they tell is sent to, and what was sent. Only servers read these tables.

-- Where alerts are sent to.
CREATE TABLE webhooks (
    no          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    -- Since when nothing is sent there; null = it is.
    disabled_at timestamptz,
    -- Until when the secret before counts too; null = there is none.
    old_until   timestamptz,
    hub         integer NOT NULL,
    -- 0 generic, 1 Slack.
    format      smallint NOT NULL,
    id          text COLLATE "C" NOT NULL,
    url         text NOT NULL,
    -- Why it was disabled.
    disabled    text NOT NULL DEFAULT '',
    -- Sealed with a key that is not in this table.
    secret      bytea NOT NULL,
    old_secret  bytea,
    UNIQUE (hub, id)
);

CREATE TABLE alert_rules (
    no           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Counts how often it began to fire.
    incident     bigint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    -- The last look; null = none since it was made or changed.
    evaluated_at timestamptz,
    -- Since when the bound has been reached, or, while firing, not been reached; null = not so.
    turning_at   timestamptz,
    firing_since timestamptz,
    muted_until  timestamptz,
    value        double precision,
    hub          integer NOT NULL,
    -- 0 ok, 1 pending, 2 firing.
    state        smallint NOT NULL DEFAULT 0,
    id           text COLLATE "C" NOT NULL,
    detail       text NOT NULL DEFAULT '',
    -- Why the last look failed; empty = it did not.
    error        text NOT NULL DEFAULT '',
    spec         jsonb NOT NULL,
    UNIQUE (hub, id)
) WITH (fillfactor = 50);

-- What is sent. A row is written in the commit that changes the state of a rule, and taken from here by an orchestration
-- that has the same id.
CREATE TABLE webhook_deliveries (
    no          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- The next attempt; null = there is none.
    next_at     timestamptz DEFAULT now(),
    finished_at timestamptz,
    webhook     bigint NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    attempts    integer NOT NULL DEFAULT 0,
    -- 0 pending, 1 delivered, 2 given up.
    state       smallint NOT NULL DEFAULT 0,
    -- The status of the last answer; 0 = there was none.
    answer      smallint NOT NULL DEFAULT 0,
    -- Whether an orchestration has it.
    started     boolean NOT NULL DEFAULT false,
    -- Header webhook-id.
    id          text COLLATE "C" NOT NULL UNIQUE,
    -- The rule's id; empty for a test.
    rule        text COLLATE "C" NOT NULL,
    error       text NOT NULL DEFAULT '',
    body        bytea NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook, no);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (no) WHERE NOT started;
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at) WHERE finished_at IS NOT NULL;

-- The key that seals the secrets of webhooks where the servers are given none: no other role reads it.
INSERT INTO settings (key, value) VALUES ('webhook_key', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
