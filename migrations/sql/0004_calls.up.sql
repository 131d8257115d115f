-- What calls need beyond their rows in River: progress, and deadlines. Timers have two more kinds: 3 = the call must have
-- begun by then, 4 = it must have ended.

-- Last heartbeats of tasks, for the attempt that follows and for those who look on. A row goes with its call's end, or
-- a minute after its instance's.
CREATE TABLE task_progress (
    instance_no bigint NOT NULL,
    at          timestamptz NOT NULL,
    gen         integer NOT NULL,
    task        integer NOT NULL,
    attempt     smallint NOT NULL,
    details     bytea,
    PRIMARY KEY (instance_no, gen, task)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
