-- Tenants and metrics, so that a verdict names them in a byte or two.
CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- In the order in which they came, which is also the order in which they go: new ones are appended, old ones cut off at the beginning.
CREATE TABLE verdict (
    seq    INTEGER PRIMARY KEY,
    key    BLOB NOT NULL UNIQUE,
    tenant INTEGER NOT NULL,
    metric INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    body   BLOB NOT NULL
) STRICT;

CREATE INDEX verdict_tenant ON verdict (tenant);

-- What the table holds, so that nobody has to count it.
CREATE TABLE total (
    id    INTEGER PRIMARY KEY CHECK (id = 0),
    rows  INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;

INSERT INTO total (id, rows, bytes) VALUES (0, 0, 0);
