//! Every bound of the Kafka engine, with its unit in its name.

use std::time::Duration;

/// How long a request to the cluster may take before it is given up.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How long a change of topics may take to be known to the broker that is asked.
pub(super) const CHANGE_LIMIT: Duration = Duration::from_secs(15);
/// How long a record may wait for its acknowledgement, milliseconds: what a writer waits at most while the cluster is away.
pub(super) const DELIVERY_LIMIT_MS: u64 = 15_000;
/// How long a writer looks for a topic that it has known and doesn't find, milliseconds.
pub(super) const TOPIC_MISSED_MS: u64 = 4_000;
/// Bytes of records that may wait for their acknowledgements; more is refused as overload.
pub(super) const MAX_UNACKNOWLEDGED_BYTES: usize = 64 << 20;
/// Records that may wait for their acknowledgements.
pub(super) const MAX_UNACKNOWLEDGED_RECORDS: usize = 500_000;
/// What is known of a topic is believed for this long.
pub(super) const TOPIC_FRESH: Duration = Duration::from_secs(1);
/// Keyless records go to the same partition for this long, as librdkafka has it.
pub(super) const STICKY: Duration = Duration::from_millis(10);
/// A topic's settings are believed for this long.
pub(super) const CONFIG_FRESH: Duration = Duration::from_secs(5);
/// How often the cluster is asked whether it is there.
pub(super) const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// How long one such question may take.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Clients that read by offset, at once; more readers wait for one.
pub(super) const MAX_READERS: usize = 64;
/// A reader that nobody used for this long is given up.
pub(super) const READER_IDLE: Duration = Duration::from_secs(30);
/// Records that a reading client fetches ahead, kibibytes.
pub(super) const FETCH_AHEAD_KIB: usize = 4 * 1024;
/// How long a read waits for a broker that has records to give, before it answers with none.
pub(super) const FETCH_LIMIT: Duration = Duration::from_secs(10);
/// Records handed over by a tail at once.
pub(super) const TAIL_RECORDS: usize = 4_096;
/// How often a tail looks whether its topic is still the same, and has as many partitions.
pub(super) const TAIL_CHECK: Duration = Duration::from_secs(1);
/// Blocking requests to the cluster at once.
pub(super) const MAX_REQUESTS: usize = 64;
/// Partitions in one request for offsets.
pub(super) const MAX_OFFSETS_PER_REQUEST: usize = 2_000;
