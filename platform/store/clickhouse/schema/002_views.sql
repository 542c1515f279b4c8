-- What was written twice is here once: FINAL keeps the last row of a key, and of
-- a run the one with the highest version.

CREATE VIEW IF NOT EXISTS runs AS SELECT
    run, kind, name, approach, model, trace, level, arrivals, quirks, seed, time_scale, virtual, status,
    reason, started_unix_ms, duration_ms, accepted, completed, unfinished_at_end, refused, lost, duplicated, dropped,
    late_facts, interruptions, tokens_recomputed, cost_usd, usd_per_token, settings, version
FROM runs_rows FINAL;

CREATE VIEW IF NOT EXISTS request_latency AS SELECT
    run, request, arrived_ms, started_ms, finished_ms, latency_ms, queue_ms, compute_ms, tokens_in,
    tokens_out, committed_carried, tokens_recomputed, interruptions, pipeline, config, status
FROM request_latency_rows FINAL;

CREATE VIEW IF NOT EXISTS fleet_event AS SELECT
    run, seq, node, event, market, at_ms, due_ms
FROM fleet_event_rows FINAL;

CREATE VIEW IF NOT EXISTS config_change AS SELECT
    run, epoch, at_ms, change_ms, d, p, m, b, devices_changed, gpus, latency_ms, throughput, why, runners_up
FROM config_change_rows FINAL;

CREATE VIEW IF NOT EXISTS migration AS SELECT
    run, epoch, begin_ms, ready_ms, deadline_ms, estimate_ms, steps, model_bytes, cache_bytes, disk_bytes,
    inter_node_bytes, busiest_node_bytes, resumed_requests, requeued_requests
FROM migration_rows FINAL;

CREATE VIEW IF NOT EXISTS node_time AS SELECT
    run, node, market, from_ms, to_ms, usd
FROM node_time_rows FINAL;

-- Percentile p of n sorted latencies is sorted[int(p*n)], counted from 0, which
-- is what quantileExact takes. Old servers do one join a query, new ones want
-- its sides named.
CREATE VIEW IF NOT EXISTS latency_summary AS SELECT
    run, kind, approach, model, trace, level, seed, status,
    toInt64(requests)                      AS n,
    if(requests = 0, NULL, mean / 1000)    AS avg,
    if(requests = 0, NULL, sorted[1] / 1000) AS p50,
    if(requests = 0, NULL, sorted[2] / 1000) AS p90,
    if(requests = 0, NULL, sorted[3] / 1000) AS p95,
    if(requests = 0, NULL, sorted[4] / 1000) AS p96,
    if(requests = 0, NULL, sorted[5] / 1000) AS p97,
    if(requests = 0, NULL, sorted[6] / 1000) AS p98,
    if(requests = 0, NULL, sorted[7] / 1000) AS p99
FROM (
    SELECT run, kind, approach, model, trace, level, seed, status FROM runs
) AS r ANY LEFT JOIN (
    SELECT
        run, count() AS requests, avg(ms) AS mean,
        quantilesExact(0.5, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99)(ms) AS sorted
    FROM (
        SELECT run, assumeNotNull(latency_ms) AS ms
        FROM request_latency WHERE status = 'completed' AND latency_ms IS NOT NULL
    ) GROUP BY run
) AS l USING (run);

CREATE VIEW IF NOT EXISTS cost_summary AS SELECT
    run, kind, approach, model, trace, level, seed, status,
    spot_minutes, on_demand_minutes, cost_usd,
    toInt64(requests)                       AS completed,
    if(tokens = 0, NULL, cost_usd / tokens) AS usd_per_token
FROM (
    SELECT run, kind, approach, model, trace, level, seed, status, spot_minutes, on_demand_minutes, cost_usd
    FROM (
        SELECT run, kind, approach, model, trace, level, seed, status FROM runs
    ) AS r ANY LEFT JOIN (
        SELECT
            run,
            sum(if(market = 'spot',      to_ms - from_ms, 0)) / 60000 AS spot_minutes,
            sum(if(market = 'on-demand', to_ms - from_ms, 0)) / 60000 AS on_demand_minutes,
            sum(usd) AS cost_usd
        FROM node_time GROUP BY run
    ) AS t USING (run)
) AS c ANY LEFT JOIN (
    SELECT run, count() AS requests, sum(tokens_in + tokens_out) AS tokens
    FROM request_latency WHERE status = 'completed' GROUP BY run
) AS q USING (run);
