-- Who has suspended an instance, when and why (JSON: at, reason, by); null while it is not suspended.
ALTER TABLE instances ADD COLUMN suspended bytea;

-- is_held tells whether a message of this kind has to wait in the inbox of an instance in this status. What reaches
-- an instance that is to start later waits until its start has arrived too, not only until that is due: a session
-- opened in between would find messages for something that has not begun.
-- Kinds: 1 start, 2 event, 3 task result, 4 timer, 5 suspend, 6 resume.
CREATE OR REPLACE FUNCTION is_held(status smallint, scheduled_at timestamptz, kind smallint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (status = 7 AND kind NOT IN (5, 6))
        OR (status = 6 AND scheduled_at IS NOT NULL AND kind NOT IN (1, 5, 6))
$$;
