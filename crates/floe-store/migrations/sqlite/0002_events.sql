-- Times are milliseconds since 1970; `data` is the JSON text as it was sent.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    event_type TEXT,
    user_id TEXT,
    data TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL
) STRICT;

CREATE INDEX events_by_type ON events (event_type, seq);
CREATE INDEX events_by_user ON events (user_id, seq);
CREATE INDEX events_by_timestamp ON events (timestamp);

-- The newest sequence number ever given. It outlives the row, so an erased event's number isn't given again.
CREATE TABLE floe_counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

INSERT INTO floe_counters (name, value) VALUES ('events', 0);
