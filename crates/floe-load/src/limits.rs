//! Every bound of the load generator, with its unit in its name.

use std::time::Duration;

/// Connections of one run; a record's id has room for this many.
pub const MAX_CONNECTIONS: usize = 10_000;
/// Records of one request.
pub const MAX_BATCH_RECORDS: usize = 100_000;
/// Publishes of one WebSocket that wait for their acknowledgement.
pub const MAX_WINDOW_RECORDS: usize = 4_096;
/// A payload file, which is held in memory.
pub const MAX_PAYLOAD_FILE_BYTES: u64 = 1 << 30;
/// A generated value.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;
/// Status line and headers of an answer.
pub const MAX_RESPONSE_HEAD_BYTES: usize = 64 << 10;
/// Headers of an answer.
pub const MAX_RESPONSE_HEADERS: usize = 64;
/// Body of an answer; what is larger is refused, not cut.
pub const MAX_RESPONSE_BODY_BYTES: usize = 256 << 20;
/// Kinds of failure told apart in a report; the rest are counted together.
pub const MAX_FAILURE_KINDS: usize = 16;
/// Histograms of latency that connections share.
pub const MAX_HISTOGRAMS: usize = 16;
/// Latencies above this are recorded as this.
pub const MAX_LATENCY: Duration = Duration::from_secs(600);
/// The shortest pause of the pacer: above this rate it releases several slots at a time.
pub const MIN_PACER_PAUSE: Duration = Duration::from_micros(100);
/// The first pause before connecting again.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// The longest pause before connecting again.
pub const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// How long opening a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the verifier waits for acknowledged records to become readable (they may be `acks=1`).
pub const MAX_SETTLE: Duration = Duration::from_secs(3);
/// How long the verifier keeps trying a server that does not answer.
pub const MAX_VERIFY_OUTAGE: Duration = Duration::from_secs(30);
