DROP INDEX instances_parent;
CREATE INDEX instances_parent ON instances (parent_no) WHERE parent_no IS NOT NULL;
