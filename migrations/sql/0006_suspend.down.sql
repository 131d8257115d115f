CREATE OR REPLACE FUNCTION is_held(status smallint, scheduled_at timestamptz, kind smallint) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT (status = 7 AND kind NOT IN (5, 6))
        OR (status = 6 AND scheduled_at > now() AND kind <> 1)
$$;
ALTER TABLE instances DROP COLUMN suspended;
