-- Every change of a project's own metrics. The last one counts; without JSON it took the metric away.
CREATE TABLE metric (
    project TEXT NOT NULL,
    metric  TEXT NOT NULL,
    version INTEGER NOT NULL,
    json    TEXT,
    by      TEXT NOT NULL, -- the id of the key
    at      INTEGER NOT NULL,
    PRIMARY KEY (project, metric, version)
) STRICT, WITHOUT ROWID;

-- Which models answered as a judge's version, by the provider's own account.
CREATE TABLE answering (
    version TEXT NOT NULL,
    model   TEXT NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (version, model)
) STRICT, WITHOUT ROWID;
