-- Schedules: recurring starts of an orchestration. The leader fires them (engine/schedules.go): one commit moves the
-- row on, by compare-and-set, and starts the instances, so that each firing is acted on once, whoever leads.
CREATE TABLE schedules (
    no            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Counts all changes of the row: what compare-and-set compares.
    seq           bigint NOT NULL DEFAULT 0,
    -- Counts what people change; firings do not.
    revision      bigint NOT NULL DEFAULT 1,
    -- The next firing, and when it is to start (a jitter later); null = there is none any more.
    next_at       timestamptz,
    due_at        timestamptz,
    -- The last firing that started an instance, and that instance.
    last_at       timestamptz,
    last_no       bigint,
    runs          bigint NOT NULL DEFAULT 0,
    skipped       bigint NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    hub           integer NOT NULL,
    -- 0 active, 1 paused, 2 completed: no firing is left.
    state         smallint NOT NULL DEFAULT 0,
    id            text COLLATE "C" NOT NULL,
    orchestration text COLLATE "C" NOT NULL,
    version       text COLLATE "C" NOT NULL,
    -- Id of every instance; empty = made of the schedule's id and the time of the firing.
    instance_id   text COLLATE "C" NOT NULL,
    -- Why somebody, or the engine, has paused it.
    note          text NOT NULL DEFAULT '',
    -- When to fire, and what to do with firings that come late or while an instance runs.
    spec          jsonb NOT NULL,
    -- Firings that wait for the last instance to end (times); null = none.
    buffered      jsonb,
    input         bytea,
    UNIQUE (hub, id)
) WITH (fillfactor = 70);

CREATE INDEX schedules_due ON schedules (due_at, no) WHERE state = 0 AND due_at IS NOT NULL;
CREATE INDEX schedules_buffered ON schedules (no) WHERE state = 0 AND buffered IS NOT NULL;
CREATE INDEX schedules_completed ON schedules (updated_at) WHERE state = 2;
