-- The versions in which orchestrations are started: workers that take versions that they cannot list, such as all that
-- are older, learn from it which turn jobs to fetch. Rows are made before, or with, the first instance of a version.
CREATE TABLE versions (
    hub     integer NOT NULL,
    name    text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (hub, name, version)
);

INSERT INTO versions (hub, name, version)
SELECT DISTINCT i.hub, i.name, i.version FROM instances i WHERE i.outcome IS NULL AND i.version <> '';
