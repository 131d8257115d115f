DROP FUNCTION json_of(bytea);
