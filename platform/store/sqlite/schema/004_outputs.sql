-- The answers of runs that compute tokens.

CREATE TABLE request_output (
    run      TEXT    NOT NULL,
    request  INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    tokens   TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    PRIMARY KEY (run, request)
) STRICT, WITHOUT ROWID;
