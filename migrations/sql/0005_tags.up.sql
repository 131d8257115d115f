-- Tags: names with values that people give to instances, to find them by.

-- A JSON object of texts; null = none. This is the truth. A further generation keeps it.
ALTER TABLE instances ADD COLUMN tags jsonb;

-- The index over tags, kept by triggers, so that whoever writes instances need not know of it: a row for each tag of
-- each instance, in the order of lists. outcome is the instance's.
CREATE TABLE instance_tags (
    instance_no bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    hub         integer NOT NULL,
    outcome     smallint,
    key         text COLLATE "C" NOT NULL,
    value       text COLLATE "C" NOT NULL,
    PRIMARY KEY (instance_no, key)
);

CREATE INDEX instance_tags_value ON instance_tags (hub, key, value, outcome, created_at, instance_no);

CREATE FUNCTION index_tags() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.tags IS NOT DISTINCT FROM NEW.tags THEN
        UPDATE instance_tags SET outcome = NEW.outcome WHERE instance_no = NEW.no;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM instance_tags WHERE instance_no = OLD.no;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO instance_tags (instance_no, created_at, hub, outcome, key, value)
        SELECT NEW.no, NEW.created_at, NEW.hub, NEW.outcome, t.key, t.value FROM jsonb_each_text(NEW.tags) AS t;
    END IF;
    RETURN NULL;
END;
$$;

-- Instances without tags pay for a look at a null only.
CREATE TRIGGER tags_start AFTER INSERT ON instances
    FOR EACH ROW WHEN (NEW.tags IS NOT NULL) EXECUTE FUNCTION index_tags();
CREATE TRIGGER tags_change AFTER UPDATE OF outcome, tags ON instances
    FOR EACH ROW WHEN ((OLD.tags IS NOT NULL OR NEW.tags IS NOT NULL)
        AND (OLD.tags IS DISTINCT FROM NEW.tags OR OLD.outcome IS DISTINCT FROM NEW.outcome))
    EXECUTE FUNCTION index_tags();
CREATE TRIGGER tags_end AFTER DELETE ON instances
    FOR EACH ROW WHEN (OLD.tags IS NOT NULL) EXECUTE FUNCTION index_tags();
