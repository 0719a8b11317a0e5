-- Parts leave in about the order in which they came, so the table stays small.
CREATE TABLE part (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    body    BLOB NOT NULL
) STRICT;
