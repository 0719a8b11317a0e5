-- What accept took in: until it is folded into the results, and longer where it is drawn and not done.
CREATE TABLE log (
    position INTEGER PRIMARY KEY,
    drawn    INTEGER NOT NULL, -- kept when folded
    row      BLOB NOT NULL,
    payload  BLOB
) STRICT;

-- Keys of what was accepted, to know duplicates by.
CREATE TABLE seen (
    key         BLOB PRIMARY KEY,
    accepted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Drawn items that are not done.
CREATE TABLE pending (
    position    INTEGER PRIMARY KEY,
    due         INTEGER,          -- null: never leased. Else when it may be leased (again), or when its lease ends
    leased      INTEGER NOT NULL, -- whether somebody has it until `due`
    delivery    INTEGER NOT NULL,
    retries     INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    code        TEXT,             -- why it was retried last
    message     TEXT
) STRICT;
CREATE INDEX pending_due ON pending (due, position);

-- Items given up on.
CREATE TABLE dead (
    position    INTEGER PRIMARY KEY,
    retries     INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    code        TEXT NOT NULL,
    message     TEXT NOT NULL
) STRICT;

-- One row: the next position (positions are never given twice, whatever was deleted), and counts that would be slow to count.
CREATE TABLE total (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    next    INTEGER NOT NULL,
    folded  INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    dead    INTEGER NOT NULL
) STRICT;
INSERT INTO total VALUES (1, 1, 0, 0, 0);
