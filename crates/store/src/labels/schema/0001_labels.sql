CREATE TABLE review (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL,
    metric  TEXT NOT NULL,
    json    TEXT NOT NULL
) STRICT;
CREATE INDEX review_project ON review (project, metric);

-- What was drawn for people, once for each metric of an interaction.
CREATE TABLE item (
    project       TEXT NOT NULL,
    metric        TEXT NOT NULL,
    key           BLOB NOT NULL,
    id            TEXT NOT NULL,
    time          INTEGER NOT NULL,
    review        TEXT NOT NULL, -- the draw that took it first
    probability   REAL NOT NULL,
    judge_version TEXT NOT NULL,
    judge_score   REAL NOT NULL,
    place         REAL NOT NULL,
    state         TEXT NOT NULL, -- 'open', 'labelled' or 'skipped'
    holder        TEXT,          -- who had it last
    held_until    INTEGER NOT NULL DEFAULT 0,
    reason        TEXT,          -- why it was skipped
    PRIMARY KEY (project, metric, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_queue ON item (project, metric, state, place);
CREATE INDEX item_time ON item (project, metric, time);

CREATE TABLE label (
    seq           INTEGER PRIMARY KEY,
    project       TEXT NOT NULL,
    metric        TEXT NOT NULL,
    key           BLOB NOT NULL,
    id            TEXT NOT NULL,
    time          INTEGER NOT NULL,
    reviewer      TEXT NOT NULL,
    source        TEXT NOT NULL, -- 'review', 'hand_picked' or 'file'
    score         REAL NOT NULL,
    note          TEXT NOT NULL,
    review        TEXT,
    probability   REAL,
    judge_version TEXT,
    judge_score   REAL,
    at            INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX label_key ON label (project, metric, key, source, reviewer);
CREATE INDEX label_project ON label (project);

CREATE TABLE feedback (
    seq         INTEGER PRIMARY KEY,
    project     TEXT NOT NULL,
    key         BLOB NOT NULL,
    interaction TEXT NOT NULL,
    name        TEXT NOT NULL,
    id          TEXT NOT NULL,
    value       TEXT NOT NULL, -- JSON: a boolean, a number or a string
    comment     TEXT NOT NULL,
    at          INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX feedback_key ON feedback (project, key, name, id);
CREATE INDEX feedback_project ON feedback (project);
