-- Interactions that were drawn to be judged by two versions of a metric's reference judge.
CREATE TABLE bridge (
    project      TEXT NOT NULL,
    metric       TEXT NOT NULL,
    old          TEXT NOT NULL,
    new          TEXT NOT NULL,
    key          BLOB NOT NULL,
    old_score    REAL, -- NULL where there is no pair
    new_score    REAL,
    probability  REAL NOT NULL,
    rate         REAL NOT NULL,
    calls        INTEGER NOT NULL,
    cost         INTEGER NOT NULL, -- nano-dollars
    cost_unknown INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (project, metric, old, new, key)
) STRICT, WITHOUT ROWID;
