-- `data` is of type json, not jsonb: it keeps the text as it was sent.
CREATE TABLE events (
    seq bigint PRIMARY KEY,
    id text NOT NULL UNIQUE,
    event_type text,
    user_id text,
    data json NOT NULL,
    "timestamp" timestamptz NOT NULL,
    stored_at timestamptz NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL
);

CREATE INDEX events_by_type ON events (event_type, seq);
CREATE INDEX events_by_user ON events (user_id, seq);
-- Times rise with the order of storing, nearly: a block range index is enough and costs next to nothing.
CREATE INDEX events_by_timestamp ON events USING brin ("timestamp");

-- The newest sequence number ever given. It outlives the row, so an erased event's number isn't given again.
CREATE TABLE floe_counters (name text PRIMARY KEY, value bigint NOT NULL);

INSERT INTO floe_counters (name, value) VALUES ('events', 0);
