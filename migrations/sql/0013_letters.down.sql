-- What rests or is held would never be given out.
UPDATE river_job j SET state = 'available', scheduled_at = now()
FROM deaths d JOIN instances i ON i.no = d.instance_no
WHERE d.task = -1 AND (d.held_at IS NOT NULL OR d.given_at IS NULL) AND j.id = i.turn_job AND j.state = 'pending';
UPDATE instances i SET held = NULL FROM deaths d WHERE d.instance_no = i.no AND d.task = -1 AND d.held_at IS NOT NULL;
UPDATE limit_calls c SET ready = true FROM deaths d
WHERE c.instance_no = d.instance_no AND c.gen = d.gen AND c.task = d.task AND (d.held_at IS NOT NULL OR d.given_at IS NULL);
UPDATE river_job j SET state = 'available', scheduled_at = now()
FROM deaths d
WHERE d.task >= 0 AND (d.held_at IS NOT NULL OR d.given_at IS NULL) AND j.unique_key = int8send(d.instance_no) || int4send(d.gen) || int4send(d.task)
  AND j.state = 'pending'
  AND NOT EXISTS (SELECT 1 FROM limit_calls c WHERE c.instance_no = d.instance_no AND c.gen = d.gen AND c.task = d.task);
DROP FUNCTION pause_after(integer);
DROP FUNCTION tested_for(integer);
DROP TABLE deaths;
ALTER TABLE hubs DROP COLUMN max_deaths;
