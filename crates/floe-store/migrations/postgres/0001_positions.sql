-- How far each partition of each pipeline is in each table, and who owns it.
CREATE TABLE floe_positions (
    target text NOT NULL,
    log_id text NOT NULL,
    pipeline text NOT NULL,
    topic text NOT NULL,
    topic_id bigint NOT NULL,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    next_offset bigint,
    owner text NOT NULL,
    claimed_at timestamptz NOT NULL,
    PRIMARY KEY (target, log_id, pipeline, topic, topic_id, partition)
);
