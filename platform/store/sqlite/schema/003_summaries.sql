-- What the views say of a run's requests is worked out once, when the run has
-- ended: the writer keeps it here. Only runs that go on are summed up whenever
-- someone asks. With that, nothing needs an index by latency, which cost more
-- than half of the time that it takes to write a request.
CREATE TABLE request_summary (
    run        TEXT PRIMARY KEY,
    completed  INTEGER NOT NULL, -- requests
    tokens     INTEGER NOT NULL, -- of their prompts and outputs
    n          INTEGER NOT NULL, -- those with a latency
    avg        REAL,             -- seconds, like all that follow; NULL if n is 0
    p50        REAL,
    p90        REAL,
    p95        REAL,
    p96        REAL,
    p97        REAL,
    p98        REAL,
    p99        REAL
) STRICT, WITHOUT ROWID;

DROP INDEX request_latency_sorted;

-- Percentile p of n sorted latencies is sorted[int(p*n)], counted from 0. Each is
-- looked up inside its run and only if asked for, so that a run that goes on
-- costs those nothing who ask for others.
DROP VIEW latency_summary;
CREATE VIEW latency_summary AS
SELECT
    r.run, kind, approach, model, trace, level, seed, r.status,
    iif(s.run IS NOT NULL, n, (SELECT count(*) FROM request_latency l
      WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)) AS n,
    iif(s.run IS NOT NULL, avg, (SELECT avg(latency_ms) / 1000.0 FROM request_latency l
      WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)) AS avg,
    iif(s.run IS NOT NULL, p50, (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.5 * n AS INTEGER))) AS p50,
    iif(s.run IS NOT NULL, p90, (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.9 * n AS INTEGER))) AS p90,
    iif(s.run IS NOT NULL, p95, (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.95 * n AS INTEGER))) AS p95,
    iif(s.run IS NOT NULL, p96, (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.96 * n AS INTEGER))) AS p96,
    iif(s.run IS NOT NULL, p97, (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.97 * n AS INTEGER))) AS p97,
    iif(s.run IS NOT NULL, p98, (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.98 * n AS INTEGER))) AS p98,
    iif(s.run IS NOT NULL, p99, (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.99 * n AS INTEGER))) AS p99
FROM runs r LEFT JOIN request_summary s ON s.run = r.run;

DROP VIEW cost_summary;
CREATE VIEW cost_summary AS
SELECT
    run, kind, approach, model, trace, level, seed, status,
    spot_minutes, on_demand_minutes, cost_usd, completed,
    cost_usd / nullif(tokens, 0) AS usd_per_token
FROM (
    SELECT
        r.run, kind, approach, model, trace, level, seed, status,
        ifnull((SELECT sum(iif(market = 'spot',      to_ms - from_ms, 0.0)) FROM node_time t WHERE t.run = r.run), 0.0) / 60000.0 AS spot_minutes,
        ifnull((SELECT sum(iif(market = 'on-demand', to_ms - from_ms, 0.0)) FROM node_time t WHERE t.run = r.run), 0.0) / 60000.0 AS on_demand_minutes,
        ifnull((SELECT sum(usd) FROM node_time t WHERE t.run = r.run), 0.0) AS cost_usd,
        iif(s.run IS NOT NULL, s.completed,
            (SELECT count(*) FROM request_latency l WHERE l.run = r.run AND l.status = 'completed')) AS completed,
        iif(s.run IS NOT NULL, s.tokens,
            (SELECT sum(tokens_in + tokens_out) FROM request_latency l WHERE l.run = r.run AND l.status = 'completed')) AS tokens
    FROM runs r LEFT JOIN request_summary s ON s.run = r.run
);
