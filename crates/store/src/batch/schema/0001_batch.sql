CREATE TABLE batch (
    marker      TEXT PRIMARY KEY,
    provider    TEXT NOT NULL,
    model       TEXT NOT NULL,
    provider_id TEXT, -- NULL while it is not known whether the provider has it
    intended_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE member (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    provider  TEXT NOT NULL,
    model     TEXT NOT NULL,
    row       BLOB NOT NULL,
    payload   BLOB,
    judge     TEXT NOT NULL,
    metrics   TEXT NOT NULL, -- a JSON array of names
    parked_at INTEGER NOT NULL,
    deadline  INTEGER NOT NULL,
    retries   INTEGER NOT NULL,
    marker    TEXT, -- the batch that it waits for
    until     INTEGER -- put off until then, to be asked outside a batch
) STRICT;
CREATE INDEX member_marker ON member (marker) WHERE marker IS NOT NULL;
CREATE INDEX member_waiting ON member (provider, model, seq) WHERE marker IS NULL AND until IS NULL;
CREATE INDEX member_deadline ON member (deadline) WHERE marker IS NULL AND until IS NULL;
CREATE INDEX member_until ON member (until) WHERE until IS NOT NULL;
