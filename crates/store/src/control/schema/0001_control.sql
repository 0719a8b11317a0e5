CREATE TABLE project (
    name       TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys are stored as keyed hashes only.
CREATE TABLE api_key (
    hash       BLOB PRIMARY KEY,
    id         TEXT NOT NULL,
    project    TEXT NOT NULL,
    scopes     TEXT NOT NULL, -- JSON
    label      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_id ON api_key (id);

CREATE TABLE policy (
    version TEXT PRIMARY KEY,
    json    TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
