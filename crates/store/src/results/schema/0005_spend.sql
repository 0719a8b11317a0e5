-- As what a judge was asked, and what calls would have cost live, with and without the prompt cache.
ALTER TABLE call ADD COLUMN asked_as TEXT; -- NULL before this was noted
ALTER TABLE call ADD COLUMN live INTEGER; -- nano-dollars
ALTER TABLE call ADD COLUMN uncached INTEGER; -- nano-dollars

CREATE TABLE spend_by_place (
    project             TEXT NOT NULL,
    hour                INTEGER NOT NULL,
    metric              TEXT NOT NULL,
    judge               TEXT NOT NULL,
    model               TEXT NOT NULL,
    asked_as            TEXT NOT NULL,
    calls               INTEGER NOT NULL,
    questions           INTEGER NOT NULL,
    failed              INTEGER NOT NULL,
    cost_unknown        INTEGER NOT NULL,
    cost                INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens  INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    reused              INTEGER NOT NULL,
    saved               INTEGER NOT NULL,
    live                INTEGER NOT NULL,
    uncached            INTEGER NOT NULL,
    listed              INTEGER NOT NULL, -- answered questions whose list cost is known
    uncached_listed     INTEGER NOT NULL, -- theirs
    PRIMARY KEY (project, hour, metric, judge, model, asked_as)
) STRICT, WITHOUT ROWID;
INSERT INTO spend_by_place
    SELECT project, hour, metric, judge, model, 'unknown', calls, questions, failed, cost_unknown, cost, input_tokens,
           cached_input_tokens, cache_write_tokens, output_tokens, reused, saved, cost, cost, 0, 0
    FROM spend;
DROP TABLE spend;
ALTER TABLE spend_by_place RENAME TO spend;
