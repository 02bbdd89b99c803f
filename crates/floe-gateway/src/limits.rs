//! Every bound of the doors, in one place. What is over a bound is refused, unless its line says that it waits.

use std::time::Duration;

/// Connections of all listeners together. One more is answered with 503 and closed.
pub const CONNECTIONS_MAX: usize = 32_768;
/// How long accepting pauses after the process ran out of file descriptors.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(250);
/// How long a request's head may take to arrive, and how long a kept-alive connection may be idle.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's header lines together, in bytes.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header lines of a request.
pub const HEAD_HEADERS_MAX: usize = 100;
/// A request's target (path and query), in bytes.
pub const URI_BYTES_MAX: usize = 16 * 1024;
/// hyper's read buffer: larger than any head we take, so that an oversized one is answered by its proper status.
pub const CONNECTION_BUFFER_BYTES: usize = 128 * 1024;

/// A request's body as it comes over the wire.
pub const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// A request's body after its content coding is undone.
pub const DECODED_BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Bodies up to this announced size are not counted against [`BUFFERED_BODY_BYTES_MAX`].
pub const SMALL_BODY_BYTES: usize = 64 * 1024;
/// Larger bodies in memory at once, over all connections.
pub const BUFFERED_BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a body may pause, and after how long its average rate must be at least [`BODY_BYTES_PER_SECOND_MIN`].
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A body that is slower than this for longer than [`BODY_TIMEOUT`] is given up.
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 1024;
/// What is read and thrown away of a refused body, so that its sender gets to see the answer.
pub const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a refused body is read for.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest window a zstd body may ask for: 2 to this power, as RFC 8878 recommends.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bodies over this size are parsed on the blocking pool.
pub const PARSE_INLINE_BYTES: usize = 512 * 1024;

/// How deep JSON may nest.
pub const JSON_DEPTH_MAX: usize = 64;
/// Records in one request.
pub const RECORDS_PER_REQUEST_MAX: usize = 100_000;
/// Headers of one record.
pub const RECORD_HEADERS_MAX: usize = 1_000;
/// Latest timestamp of a record: the last millisecond of the year 9999.
pub const TIMESTAMP_MS_MAX: i64 = 253_402_300_799_999;
/// An `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Records of one read or poll, when nothing is asked.
pub const READ_RECORDS_DEFAULT: usize = 100;
/// Records of one read or poll.
pub const READ_RECORDS_MAX: usize = 10_000;
/// Bytes of one read or poll, when nothing is asked.
pub const READ_BYTES_DEFAULT: usize = 4 * 1024 * 1024;
/// Bytes of one read or poll.
pub const READ_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a read or poll may wait for records.
pub const WAIT_MS_MAX: u64 = 60_000;
/// Longest wait handed to the engine at once where dropping the call could lose what it just took.
pub const WAIT_SLICE: Duration = Duration::from_secs(1);
/// One chunk of a streamed read.
pub const STREAM_CHUNK_BYTES: usize = 1024 * 1024;
/// Records per chunk of a streamed read.
pub const STREAM_CHUNK_RECORDS: usize = 50_000;
/// Chunks of a streamed read that are made before the client has taken them. The reader waits.
pub const STREAM_CHUNKS_AHEAD: usize = 2;

/// Topics that one poll may name.
pub const POLL_TOPICS_MAX: usize = 100;
/// Lease of a delivery, when nothing is asked.
pub const LEASE_MS_DEFAULT: u64 = 30_000;
/// Longest lease of a delivery: 12 hours.
pub const LEASE_MS_MAX: u64 = 12 * 60 * 60 * 1000;
/// A member's name of its own, in bytes.
pub const MEMBER_NAME_BYTES_MAX: usize = 256;
/// What a member may say of itself with a heartbeat, in bytes.
pub const MEMBER_STATUS_BYTES_MAX: usize = 16 * 1024;
/// Shortest session of a member.
pub const SESSION_MS_MIN: u64 = 1_000;
/// Longest session of a member: an hour.
pub const SESSION_MS_MAX: u64 = 60 * 60 * 1000;
/// Positions of one commit.
pub const COMMIT_OFFSETS_MAX: usize = 10_000;
/// Groups that a topic's description names.
pub const TOPIC_GROUPS_MAX: usize = 1_000;
/// Topics, and groups, that one scrape of the metrics lists; how many were left out is a metric too.
pub const SCRAPED_MAX: usize = 10_000;

/// The reason of a pause, in bytes.
pub const PAUSE_REASON_BYTES_MAX: usize = 1024;
/// Dead letters of one page, when nothing is asked.
pub const DEAD_LETTERS_PAGE_DEFAULT: usize = 100;
/// Dead letters of one page.
pub const DEAD_LETTERS_PAGE_MAX: usize = 1_000;
/// Dead letters that one request may name by their ids.
pub const DEAD_LETTER_IDS_MAX: usize = 10_000;
/// Fastest rate of a redrive that asks for one, records per second.
pub const REDRIVE_RATE_MAX: f64 = 1_000_000.0;

/// Event ids that `/get_status?event_id=` remembers; the oldest are forgotten.
pub const RECEIPTS_MAX: usize = 100_000;
/// Longest event id, in bytes.
pub const EVENT_ID_BYTES_MAX: usize = 255;
/// An activity event's type, and its user, in bytes.
pub const EVENT_NAME_BYTES_MAX: usize = 255;
/// Faults that one answer names.
pub const FIELD_FAULTS_MAX: usize = 100;
/// Stored events of one page, when nothing is asked.
pub const STORED_EVENTS_DEFAULT: usize = 100;
/// Stored events of one page.
pub const STORED_EVENTS_MAX: usize = 1_000;
/// How long `?wait=stored` waits when nothing is asked.
pub const STORED_WAIT_MS_DEFAULT: u64 = 10_000;
/// Shortest span of time that events are counted by.
pub const COUNT_SPAN_MIN: Duration = Duration::from_secs(1);
/// How long `POST /chat` waits for the answer when nothing is asked.
pub const ANSWER_WAIT_MS_DEFAULT: u64 = 30_000;
/// Topics whose rates are sampled; one more is answered with rates of 0.
pub const SAMPLED_TOPICS_MAX: usize = 64;
/// Time between two samples.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Samples kept per topic: rates are over this many intervals at most.
pub const SAMPLES_KEPT: usize = 11;

/// How long accepted requests may take to finish once the server is told to stop.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
