CREATE TABLE tenant (
    name       TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    policy     TEXT NOT NULL, -- JSON
    version    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every project has a tenant, also one that was created before there were policies.
INSERT INTO tenant (name, created_at, policy, version) SELECT tenant, MIN(created_at), '{}', 1 FROM project GROUP BY tenant;

-- Times in which nothing was taken from a tenant.
CREATE TABLE tenant_gap (
    tenant TEXT NOT NULL,
    since  INTEGER NOT NULL,
    until  INTEGER, -- NULL until somebody ends it
    reason TEXT NOT NULL,
    PRIMARY KEY (tenant, since)
) STRICT, WITHOUT ROWID;

CREATE TABLE platform (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    policy  TEXT NOT NULL, -- JSON
    version INTEGER NOT NULL
) STRICT;

-- Who changed what. Each entry holds the hash of the one before.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    by       TEXT NOT NULL, -- the id of the key
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    before   TEXT, -- JSON
    after    TEXT, -- JSON
    previous BLOB NOT NULL,
    hash     BLOB NOT NULL
) STRICT;
CREATE INDEX audit_subject ON audit (subject, number);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is not changed'); END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is not cut'); END;
