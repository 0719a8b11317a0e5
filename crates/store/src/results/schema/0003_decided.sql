-- The feed: what was decided, in order of recording. Numbers are never given twice, whatever is deleted.
CREATE TABLE decided (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    metric  TEXT NOT NULL,
    key     BLOB NOT NULL
) STRICT;

-- What was decided before there was a feed: called judges' outcomes, then what free judges decided alone.
INSERT INTO decided (project, metric, key)
    SELECT project, metric, key FROM (
        SELECT interaction.project, outcome.metric, outcome.key, outcome.at
        FROM outcome JOIN interaction ON interaction.key = outcome.key
        WHERE outcome.outcome IN ('judged', 'reused', 'judge_failed')
        UNION ALL
        SELECT verdict.project, verdict.metric, verdict.key, verdict.at
        FROM verdict
        WHERE verdict.is_reference = 1
          AND NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.key = verdict.key AND outcome.metric = verdict.metric)
    ) ORDER BY at, key, metric;
