-- The rows of a run, as they were written. Columns are named like the fields of
-- package store.
--
-- A row that is written again is one more row here until ClickHouse merges the
-- two; the views of the same name without _rows show one of them. All servers
-- since 18.16 understand this file.
--
-- Retention drops partitions: written is the day of the insert, a partition is
-- a month of it. ALTER TABLE request_latency_rows DROP PARTITION 202601

CREATE TABLE IF NOT EXISTS runs_rows (
    run                String,
    kind               String,
    name               String,
    approach           String,
    model              String,
    trace              String,
    level              Int64,
    arrivals           String,
    quirks             String,
    seed               Int64,
    time_scale         Float64,
    virtual            Int64,
    status             String,
    reason             String,
    started_unix_ms    Int64,
    duration_ms        Float64,
    accepted           Int64,
    completed          Int64,
    unfinished_at_end  Int64,
    refused            Int64,
    lost               Int64,
    duplicated         Int64,
    dropped            Int64,
    late_facts         Int64,
    interruptions      Int64,
    tokens_recomputed  Int64,
    cost_usd           Float64,
    usd_per_token      Float64,
    settings           String,
    version            Int64,
    written            Date MATERIALIZED today()
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(written)
ORDER BY run;

CREATE TABLE IF NOT EXISTS request_latency_rows (
    run                String,
    request            Int64,
    arrived_ms         Float64,
    started_ms         Nullable(Float64),
    finished_ms        Nullable(Float64),
    latency_ms         Nullable(Float64),
    queue_ms           Float64,
    compute_ms         Float64,
    tokens_in          Int64,
    tokens_out         Int64,
    committed_carried  Int64,
    tokens_recomputed  Int64,
    interruptions      Int64,
    pipeline           Int64,
    config             String,
    status             String,
    written            Date MATERIALIZED today()
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(written)
ORDER BY (run, request);

CREATE TABLE IF NOT EXISTS fleet_event_rows (
    run      String,
    seq      Int64,
    node     String,
    event    String,
    market   String,
    at_ms    Float64,
    due_ms   Nullable(Float64),
    written  Date MATERIALIZED today()
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(written)
ORDER BY (run, seq, node);

CREATE TABLE IF NOT EXISTS config_change_rows (
    run              String,
    epoch            String,
    at_ms            Float64,
    change_ms        Float64,
    d                Int64,
    p                Int64,
    m                Int64,
    b                Int64,
    devices_changed  Int64,
    gpus             Int64,
    latency_ms       Float64,
    throughput       Float64,
    why              String,
    runners_up       String,
    written          Date MATERIALIZED today()
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(written)
ORDER BY (run, epoch);

CREATE TABLE IF NOT EXISTS migration_rows (
    run                 String,
    epoch               String,
    begin_ms            Float64,
    ready_ms            Float64,
    deadline_ms         Nullable(Float64),
    estimate_ms         Float64,
    steps               Int64,
    model_bytes         Int64,
    cache_bytes         Int64,
    disk_bytes          Int64,
    inter_node_bytes    Int64,
    busiest_node_bytes  Int64,
    resumed_requests    Int64,
    requeued_requests   Int64,
    written             Date MATERIALIZED today()
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(written)
ORDER BY (run, epoch);

CREATE TABLE IF NOT EXISTS node_time_rows (
    run      String,
    node     String,
    market   String,
    from_ms  Float64,
    to_ms    Float64,
    usd      Float64,
    written  Date MATERIALIZED today()
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(written)
ORDER BY (run, node, from_ms);
