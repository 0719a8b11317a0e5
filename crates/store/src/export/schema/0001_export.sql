-- How far each target has acknowledged the feed of results.
CREATE TABLE cursor (
    target TEXT PRIMARY KEY,
    up_to  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
