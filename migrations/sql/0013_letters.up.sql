-- Dead letters: turns and activities with which in hand worker after worker has died. They are not given out again until
-- somebody redrives them.

-- So many workers may die with the same thing in hand; 0 = any number.
ALTER TABLE hubs ADD COLUMN max_deaths integer NOT NULL DEFAULT 10;

-- What was in hand when workers died. After the first death it is given out again at once, for the worker may have died of
-- anything. From the second on it is a suspect: its River row is pending until it is given out again, which is done with few
-- suspects at a time, so that the next death shows which it was. A row with held_at is a dead letter, and stays pending.
CREATE TABLE deaths (
    instance_no bigint NOT NULL,
    -- The instance's seq at the last death: a turn that has got on since begins to count anew. 0 for an activity.
    seq         bigint NOT NULL,
    last_at     timestamptz NOT NULL,
    -- Not given out before.
    until       timestamptz NOT NULL,
    -- When it was given out again; null = not yet.
    given_at    timestamptz,
    held_at     timestamptz,
    gen         integer NOT NULL,
    -- The activity's number, -1 for a turn.
    task        integer NOT NULL,
    hub         integer NOT NULL,
    deaths      integer NOT NULL,
    -- The last one that died.
    worker      text NOT NULL,
    PRIMARY KEY (instance_no, gen, task)
);

CREATE INDEX deaths_held ON deaths (hub, held_at, instance_no, task) WHERE held_at IS NOT NULL;

-- pause_after is how long something rests after so many deaths: not at all after the first, then 2 s, doubled each time, up
-- to 5 minutes: each death costs all that is in the same hand.
CREATE FUNCTION pause_after(deaths integer) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN deaths < 2 THEN interval '0' ELSE make_interval(secs => least(2.0 ^ least(deaths - 1, 20), 300.0)) END
$$;

-- tested_for is how long a suspect is to blame for a death after it was given out: 5 s after two deaths, doubled with each,
-- up to 10 minutes. What kills slowly is found when that has become long enough.
CREATE FUNCTION tested_for(deaths integer) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN deaths < 2 THEN interval '0' ELSE make_interval(secs => least(5.0 * 2.0 ^ least(deaths - 2, 20), 600.0)) END
$$;
