-- json_of reads a value as JSON; null for what is none. Lists that select by what is in inputs and outputs use it.
CREATE FUNCTION json_of(value bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN convert_from(value, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR character_not_in_repertoire OR untranslatable_character THEN
    RETURN NULL;
END;
$$;
