-- A page of the children of one instance is read along the index, however many it has.
DROP INDEX instances_parent;
CREATE INDEX instances_parent ON instances (parent_no, created_at, no) WHERE parent_no IS NOT NULL;
