-- The cumulative probability of the last tier that was drawn; NULL where that is the decision's.
ALTER TABLE outcome ADD COLUMN probability REAL;

ALTER TABLE verdict ADD COLUMN cache_write_tokens INTEGER;
ALTER TABLE verdict ADD COLUMN reused TEXT; -- 'exact' or 'similar'
ALTER TABLE verdict ADD COLUMN saved INTEGER; -- nano-dollars

CREATE INDEX verdict_similar ON verdict (project, metric) WHERE reused = 'similar';

-- Draws between called tiers.
CREATE TABLE step (
    key         BLOB NOT NULL,
    metric      TEXT NOT NULL,
    tier        INTEGER NOT NULL,
    judge       TEXT NOT NULL,
    conditional REAL NOT NULL,
    probability REAL NOT NULL, -- cumulative
    drawn       INTEGER NOT NULL,
    predictor   TEXT, -- the judge whose score was looked at
    score       REAL,
    PRIMARY KEY (key, metric, tier)
) STRICT, WITHOUT ROWID;

-- A call that carried the questions of several metrics has a row for each.
CREATE TABLE call_by_metric (
    id                  TEXT NOT NULL,
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
    cache_write_tokens  INTEGER,
    cost                INTEGER, -- nano-dollars
    latency_ms          INTEGER NOT NULL,
    at                  INTEGER NOT NULL,
    part                INTEGER NOT NULL,
    parts               INTEGER NOT NULL,
    PRIMARY KEY (id, metric)
) STRICT, WITHOUT ROWID;
INSERT INTO call_by_metric (id, key, metric, judge, provider, model, answered, error, input_tokens, cached_input_tokens, output_tokens,
                            cost, latency_ms, at, part, parts)
    SELECT id, key, metric, judge, provider, model, answered, error, input_tokens, cached_input_tokens, output_tokens, cost, latency_ms,
           at, 0, 1
    FROM call;
DROP TABLE call;
ALTER TABLE call_by_metric RENAME TO call;
CREATE INDEX call_key ON call (key, metric);

ALTER TABLE sums ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sums ADD COLUMN left_out_w REAL NOT NULL DEFAULT 0;

ALTER TABLE spend ADD COLUMN questions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN reused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE spend ADD COLUMN saved INTEGER NOT NULL DEFAULT 0;
UPDATE spend SET questions = calls;

-- What reference scores were where a cheaper judge's score lies within one tenth of the range.
CREATE TABLE cell (
    project    TEXT NOT NULL,
    metric     TEXT NOT NULL,
    reference  TEXT NOT NULL,
    predictor  TEXT NOT NULL,
    hour       INTEGER NOT NULL,
    bin        INTEGER NOT NULL,
    population REAL NOT NULL,
    judged     INTEGER NOT NULL,
    w          REAL NOT NULL,
    wh         REAL NOT NULL,
    PRIMARY KEY (project, metric, reference, predictor, hour, bin)
) STRICT, WITHOUT ROWID;
CREATE INDEX cell_hour ON cell (project, hour);
