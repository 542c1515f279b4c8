-- Percentile p of n sorted latencies is sorted[int(p*n)], counted from 0. Each is
-- looked up inside its run, so that asking for one run does not rank the
-- requests of all others; a shared view of ranks would.
CREATE VIEW latency_summary AS
SELECT
    run, kind, approach, model, trace, level, seed, status,
    (SELECT count(*) FROM request_latency l
      WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL) AS n,
    (SELECT avg(latency_ms) / 1000.0 FROM request_latency l
      WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL) AS avg,
    (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.5 * n AS INTEGER)) AS p50,
    (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.9 * n AS INTEGER)) AS p90,
    (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.95 * n AS INTEGER)) AS p95,
    (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.96 * n AS INTEGER)) AS p96,
    (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.97 * n AS INTEGER)) AS p97,
    (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.98 * n AS INTEGER)) AS p98,
    (SELECT latency_ms / 1000.0 FROM (
        SELECT latency_ms, row_number() OVER (ORDER BY latency_ms) - 1 AS place, count(*) OVER () AS n
        FROM request_latency l WHERE l.run = r.run AND l.status = 'completed' AND latency_ms IS NOT NULL)
      WHERE place = CAST(0.99 * n AS INTEGER)) AS p99
FROM runs r;

CREATE VIEW cost_summary AS
SELECT
    run, kind, approach, model, trace, level, seed, status,
    spot_minutes, on_demand_minutes, cost_usd, completed,
    cost_usd / nullif(tokens, 0) AS usd_per_token
FROM (
    SELECT
        r.run, kind, approach, model, trace, level, seed, status,
        ifnull(spot_minutes, 0.0)      AS spot_minutes,
        ifnull(on_demand_minutes, 0.0) AS on_demand_minutes,
        ifnull(usd, 0.0)               AS cost_usd,
        ifnull(q.completed, 0)         AS completed,
        ifnull(tokens, 0)              AS tokens
    FROM runs r
    LEFT JOIN (
        SELECT
            run,
            sum(iif(market = 'spot',      to_ms - from_ms, 0.0)) / 60000.0 AS spot_minutes,
            sum(iif(market = 'on-demand', to_ms - from_ms, 0.0)) / 60000.0 AS on_demand_minutes,
            sum(usd) AS usd
        FROM node_time GROUP BY run
    ) t ON t.run = r.run
    LEFT JOIN (
        SELECT run, count(*) AS completed, sum(tokens_in + tokens_out) AS tokens
        FROM request_latency WHERE status = 'completed' GROUP BY run
    ) q ON q.run = r.run
);
