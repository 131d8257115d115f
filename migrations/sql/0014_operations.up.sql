-- Operations on many instances, which run in the background (engine/operations.go). A node that lives has each of them;
-- claim counts who had it, so that one that lost it without noticing cannot move it on.
CREATE TABLE batch_operations (
    no          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- How many instances the filter selected as it began; null = not counted.
    matched     bigint,
    examined    bigint NOT NULL DEFAULT 0,
    done        bigint NOT NULL DEFAULT 0,
    refused     bigint NOT NULL DEFAULT 0,
    -- The last instance that was examined; null = none yet.
    cursor_at   timestamptz,
    cursor_no   bigint,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    hub         integer NOT NULL,
    -- The worker that runs it; it counts only while that lives.
    owner       integer,
    claim       integer NOT NULL DEFAULT 0,
    -- 0 purge, 1 terminate, 2 cancel, 3 suspend, 4 resume, 5 rewind.
    kind        smallint NOT NULL,
    -- 0 running, 1 paused, 2 done, 3 canceled, 4 failed.
    state       smallint NOT NULL DEFAULT 0,
    id          text COLLATE "C" NOT NULL,
    created_by  text NOT NULL,
    -- Why it failed.
    error       text NOT NULL DEFAULT '',
    filter      jsonb NOT NULL,
    options     jsonb NOT NULL,
    -- The instances that are being acted on, written before the first of them is: after a crash these are counted, and no
    -- others. Null = none.
    page        jsonb,
    UNIQUE (hub, id)
) WITH (fillfactor = 50);

CREATE INDEX batch_operations_hub ON batch_operations (hub, no);
CREATE INDEX batch_operations_running ON batch_operations (no) WHERE state = 0;
CREATE INDEX batch_operations_finished ON batch_operations (finished_at) WHERE finished_at IS NOT NULL;

-- The first instances that an operation could not do.
CREATE TABLE batch_refusals (
    operation bigint NOT NULL REFERENCES batch_operations ON DELETE CASCADE,
    n         integer NOT NULL,
    instance  text COLLATE "C" NOT NULL,
    code      text NOT NULL,
    message   text NOT NULL,
    PRIMARY KEY (operation, n)
);

-- How long instances are kept that have ended. Null in name or status stands for any; of the rules of an instance the one
-- that names most counts, and the name before the status.
CREATE TABLE retention (
    updated_at timestamptz NOT NULL DEFAULT now(),
    hub        integer NOT NULL,
    -- A final one, as in instances.outcome.
    status     smallint,
    name       text COLLATE "C",
    -- Null = for ever.
    keep       interval,
    UNIQUE NULLS NOT DISTINCT (hub, name, status)
);

-- What has ended first, of a name and an outcome: whatever the rules are, those whose time has come are found without
-- looking at others. An instance enters it when it ends, in a commit that writes to the other indexes anyway.
CREATE INDEX instances_ended ON instances (hub, name, outcome, completed_at) WHERE completed_at IS NOT NULL;
