-- The answers of runs that compute tokens.

CREATE TABLE IF NOT EXISTS request_output_rows (
    run      String,
    request  Int64,
    name     String,
    tokens   String,
    text     String,
    written  Date MATERIALIZED today()
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(written)
ORDER BY (run, request);

CREATE VIEW IF NOT EXISTS request_output AS SELECT
    run, request, name, tokens, text
FROM request_output_rows FINAL;
