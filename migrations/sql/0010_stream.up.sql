-- Progress: what the code of an instance and its activities have said of how far they are, in a record that only grows. It
-- goes with its instance. The last heartbeats of calls, one each, are another thing, and are called so.
ALTER TABLE task_progress RENAME TO heartbeats;

-- seq counts from 1 in each instance, over all generations, without gaps and in the order of the commits: it is given
-- under the instance's lock, so whoever has read up to a number misses nothing by reading on after it.
CREATE TABLE progress (
    instance_no bigint NOT NULL,
    seq         bigint NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    gen         integer NOT NULL,
    task        integer NOT NULL,  -- -1 = of the orchestration's own code
    attempt     smallint NOT NULL, -- 0 = of the orchestration's own code
    name        text,              -- of the activity or step
    data        bytea,
    ref         bigint,            -- of a large value, which is in payloads
    PRIMARY KEY (instance_no, seq)
);
