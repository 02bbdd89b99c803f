-- How far each partition of each pipeline is in each table, and who owns it. Times are milliseconds since 1970.
CREATE TABLE floe_positions (
    target TEXT NOT NULL,
    log_id TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    topic TEXT NOT NULL,
    topic_id INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    next_offset INTEGER,
    owner TEXT NOT NULL,
    claimed_at INTEGER NOT NULL,
    PRIMARY KEY (target, log_id, pipeline, topic, topic_id, partition)
) STRICT, WITHOUT ROWID;
