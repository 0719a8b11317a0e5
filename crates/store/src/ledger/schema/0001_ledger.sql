-- What money is for.
CREATE TABLE purpose (
    id      INTEGER PRIMARY KEY,
    tenant  TEXT NOT NULL,
    project TEXT NOT NULL,
    judge   TEXT NOT NULL,
    metrics TEXT NOT NULL, -- with commas between
    UNIQUE (tenant, project, judge, metrics)
) STRICT;

-- The journal: what one transaction posted. Only grows at its end, and is cut at its beginning.
CREATE TABLE block (
    first  INTEGER PRIMARY KEY, -- number of its first posting
    last   INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    events BLOB NOT NULL
) STRICT;

-- Up to which posting the tables below take in the journal. Amounts are nano-dollars: integers, or 16 bytes where those do not hold them.
CREATE TABLE fold (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    position INTEGER NOT NULL
) STRICT;
INSERT INTO fold (only, position) VALUES (1, 0);

CREATE TABLE balance (
    scope    INTEGER NOT NULL,
    period   INTEGER NOT NULL, -- a day or a month
    tenant   TEXT NOT NULL,    -- empty for the platform's
    spent    ANY NOT NULL,
    assumed  ANY NOT NULL,
    reserved ANY NOT NULL,
    PRIMARY KEY (scope, period, tenant)
) STRICT, WITHOUT ROWID;

CREATE TABLE total (
    day      INTEGER NOT NULL, -- the tenant's
    purpose  INTEGER NOT NULL,
    metric   INTEGER NOT NULL, -- its place in the purpose
    spent    ANY NOT NULL,
    assumed  ANY NOT NULL,
    reserved ANY NOT NULL,
    calls    INTEGER NOT NULL, -- 0 for all metrics but the first
    PRIMARY KEY (day, purpose, metric)
) STRICT, WITHOUT ROWID;

-- Calls whose cost is not known.
CREATE TABLE call (
    id           TEXT PRIMARY KEY,
    purpose      INTEGER NOT NULL,
    tenant_day   INTEGER NOT NULL,
    platform_day INTEGER NOT NULL,
    bound        ANY NOT NULL,
    is_assumed   INTEGER NOT NULL,
    due          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX call_due ON call (due);
