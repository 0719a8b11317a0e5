-- One row: how far the queue is folded in.
CREATE TABLE progress (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    folded INTEGER NOT NULL
) STRICT;
INSERT INTO progress VALUES (1, 0);

-- The small rows. Their dimension values are those that count: `other` beyond the first 1,000.
CREATE TABLE interaction (
    seq     INTEGER PRIMARY KEY,
    key     BLOB NOT NULL,
    project TEXT NOT NULL,
    time    INTEGER NOT NULL,
    row     BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX interaction_key ON interaction (key);
CREATE INDEX interaction_time ON interaction (project, time);

CREATE TABLE payload (
    seq  INTEGER PRIMARY KEY,
    json BLOB NOT NULL
) STRICT;

-- Terminal outcomes of drawn decisions; those decided at accept are on the row.
CREATE TABLE outcome (
    key     BLOB NOT NULL,
    metric  TEXT NOT NULL,
    outcome TEXT NOT NULL,
    code    TEXT,
    message TEXT,
    score   REAL, -- the reference score, where judged
    at      INTEGER NOT NULL,
    PRIMARY KEY (key, metric)
) STRICT, WITHOUT ROWID;

CREATE TABLE verdict (
    seq                 INTEGER PRIMARY KEY,
    key                 BLOB NOT NULL,
    project             TEXT NOT NULL,
    metric              TEXT NOT NULL,
    judge               TEXT NOT NULL,
    version             TEXT NOT NULL,
    is_reference        INTEGER NOT NULL,
    score               REAL NOT NULL,
    label               TEXT,
    confidence          REAL,
    reason              TEXT NOT NULL,
    model               TEXT,
    input_tokens        INTEGER,
    cached_input_tokens INTEGER,
    output_tokens       INTEGER,
    cost                INTEGER, -- nano-dollars
    latency_ms          INTEGER NOT NULL,
    simulated           INTEGER NOT NULL,
    at                  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX verdict_key ON verdict (key, metric, version);
CREATE INDEX verdict_project ON verdict (project);

CREATE TABLE call (
    id                  TEXT PRIMARY KEY,
    key                 BLOB NOT NULL,
    metric              TEXT NOT NULL,
    judge               TEXT NOT NULL,
    provider            TEXT NOT NULL,
    model               TEXT NOT NULL,
    answered            INTEGER NOT NULL,
    error               TEXT,
    input_tokens        INTEGER,
    cached_input_tokens INTEGER,
    output_tokens       INTEGER,
    cost                INTEGER, -- nano-dollars
    latency_ms          INTEGER NOT NULL,
    at                  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX call_key ON call (key, metric);

-- Dimension values that are kept apart. A dimension of a project is known from its first value on.
CREATE TABLE dimension_value (
    project   TEXT NOT NULL,
    dimension TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (project, dimension, value)
) STRICT, WITHOUT ROWID;

-- Rollups. Dimension '' is the total; value '' of a dimension stands for interactions that have none.
CREATE TABLE sums (
    project TEXT NOT NULL, metric TEXT NOT NULL, dimension TEXT NOT NULL, hour INTEGER NOT NULL, value TEXT NOT NULL,
    reference TEXT NOT NULL,
    population INTEGER NOT NULL, never_judged INTEGER NOT NULL, no_content INTEGER NOT NULL,
    g REAL NOT NULL, gg REAL NOT NULL,
    drawn INTEGER NOT NULL, drawn_w REAL NOT NULL,
    judged INTEGER NOT NULL, positives INTEGER NOT NULL, disagreements INTEGER NOT NULL, max_w REAL NOT NULL,
    w_1 REAL NOT NULL, w_g REAL NOT NULL, w_h REAL NOT NULL, w_gg REAL NOT NULL, w_gh REAL NOT NULL, w_hh REAL NOT NULL,
    q_1 REAL NOT NULL, q_g REAL NOT NULL, q_h REAL NOT NULL, q_gg REAL NOT NULL, q_gh REAL NOT NULL, q_hh REAL NOT NULL,
    calls INTEGER NOT NULL, cost INTEGER NOT NULL, cost_unknown INTEGER NOT NULL,
    PRIMARY KEY (project, metric, dimension, hour, value, reference)
) STRICT, WITHOUT ROWID;

CREATE TABLE accepted (
    project TEXT NOT NULL,
    hour    INTEGER NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (project, hour)
) STRICT, WITHOUT ROWID;

-- Outcome '' is pending.
CREATE TABLE outcome_count (
    project TEXT NOT NULL,
    hour    INTEGER NOT NULL,
    metric  TEXT NOT NULL,
    outcome TEXT NOT NULL,
    code    TEXT NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (project, hour, metric, outcome, code)
) STRICT, WITHOUT ROWID;

-- By the hour in which the call ended.
CREATE TABLE spend (
    project             TEXT NOT NULL,
    hour                INTEGER NOT NULL,
    metric              TEXT NOT NULL,
    judge               TEXT NOT NULL,
    model               TEXT NOT NULL,
    calls               INTEGER NOT NULL,
    failed              INTEGER NOT NULL,
    cost_unknown        INTEGER NOT NULL,
    cost                INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    PRIMARY KEY (project, hour, metric, judge, model)
) STRICT, WITHOUT ROWID;
