ALTER TABLE instances DROP COLUMN trace;
