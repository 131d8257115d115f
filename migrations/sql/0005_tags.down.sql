DROP TRIGGER tags_end ON instances;
DROP TRIGGER tags_change ON instances;
DROP TRIGGER tags_start ON instances;
DROP FUNCTION index_tags();
DROP TABLE instance_tags;
ALTER TABLE instances DROP COLUMN tags;
