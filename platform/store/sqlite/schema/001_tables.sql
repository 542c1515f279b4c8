-- The rows of a run. Columns are named like the fields of package store.

CREATE TABLE runs (
    run                TEXT PRIMARY KEY,
    kind               TEXT    NOT NULL,
    name               TEXT    NOT NULL,
    approach           TEXT    NOT NULL,
    model              TEXT    NOT NULL,
    trace              TEXT    NOT NULL,
    level              INTEGER NOT NULL,
    arrivals           TEXT    NOT NULL,
    quirks             TEXT    NOT NULL,
    seed               INTEGER NOT NULL,
    time_scale         REAL    NOT NULL,
    virtual            INTEGER NOT NULL,
    status             TEXT    NOT NULL,
    reason             TEXT    NOT NULL,
    started_unix_ms    INTEGER NOT NULL,
    duration_ms        REAL    NOT NULL,
    accepted           INTEGER NOT NULL,
    completed          INTEGER NOT NULL,
    unfinished_at_end  INTEGER NOT NULL,
    refused            INTEGER NOT NULL,
    lost               INTEGER NOT NULL,
    duplicated         INTEGER NOT NULL,
    dropped            INTEGER NOT NULL,
    late_facts         INTEGER NOT NULL,
    interruptions      INTEGER NOT NULL,
    tokens_recomputed  INTEGER NOT NULL,
    cost_usd           REAL    NOT NULL,
    usd_per_token      REAL    NOT NULL,
    settings           TEXT    NOT NULL,
    version            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE request_latency (
    run                TEXT    NOT NULL,
    request            INTEGER NOT NULL,
    arrived_ms         REAL    NOT NULL,
    started_ms         REAL,
    finished_ms        REAL,
    latency_ms         REAL,
    queue_ms           REAL    NOT NULL,
    compute_ms         REAL    NOT NULL,
    tokens_in          INTEGER NOT NULL,
    tokens_out         INTEGER NOT NULL,
    committed_carried  INTEGER NOT NULL,
    tokens_recomputed  INTEGER NOT NULL,
    interruptions      INTEGER NOT NULL,
    pipeline           INTEGER NOT NULL,
    config             TEXT    NOT NULL,
    status             TEXT    NOT NULL,
    PRIMARY KEY (run, request)
) STRICT, WITHOUT ROWID;

-- A percentile is the row at its offset here.
CREATE INDEX request_latency_sorted ON request_latency (run, latency_ms)
    WHERE status = 'completed' AND latency_ms IS NOT NULL;

CREATE TABLE fleet_event (
    run     TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    node    TEXT    NOT NULL,
    event   TEXT    NOT NULL,
    market  TEXT    NOT NULL,
    at_ms   REAL    NOT NULL,
    due_ms  REAL,
    PRIMARY KEY (run, seq, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE config_change (
    run              TEXT    NOT NULL,
    epoch            TEXT    NOT NULL,
    at_ms            REAL    NOT NULL,
    change_ms        REAL    NOT NULL,
    d                INTEGER NOT NULL,
    p                INTEGER NOT NULL,
    m                INTEGER NOT NULL,
    b                INTEGER NOT NULL,
    devices_changed  INTEGER NOT NULL,
    gpus             INTEGER NOT NULL,
    latency_ms       REAL    NOT NULL,
    throughput       REAL    NOT NULL,
    why              TEXT    NOT NULL,
    runners_up       TEXT    NOT NULL,
    PRIMARY KEY (run, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE migration (
    run                 TEXT    NOT NULL,
    epoch               TEXT    NOT NULL,
    begin_ms            REAL    NOT NULL,
    ready_ms            REAL    NOT NULL,
    deadline_ms         REAL,
    estimate_ms         REAL    NOT NULL,
    steps               INTEGER NOT NULL,
    model_bytes         INTEGER NOT NULL,
    cache_bytes         INTEGER NOT NULL,
    disk_bytes          INTEGER NOT NULL,
    inter_node_bytes    INTEGER NOT NULL,
    busiest_node_bytes  INTEGER NOT NULL,
    resumed_requests    INTEGER NOT NULL,
    requeued_requests   INTEGER NOT NULL,
    PRIMARY KEY (run, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE node_time (
    run      TEXT NOT NULL,
    node     TEXT NOT NULL,
    market   TEXT NOT NULL,
    from_ms  REAL NOT NULL,
    to_ms    REAL NOT NULL,
    usd      REAL NOT NULL,
    PRIMARY KEY (run, node, from_ms)
) STRICT, WITHOUT ROWID;
