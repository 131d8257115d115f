DELETE FROM payloads p USING progress r WHERE p.id = r.ref;
DROP TABLE progress;
ALTER TABLE heartbeats RENAME TO task_progress;
