//! Every bound of this crate's runtime, with its unit in its name. (A sink's are in its folder.)

use std::time::Duration;

/// Bytes of an error as it is kept in dead letters and status.
pub(crate) const ERROR_BYTES: usize = 1_024;
/// A dead letter is its record and more headers, so its topic takes more than others do, bytes.
pub(crate) const DEAD_LETTER_BYTES: usize = 8 << 20;
/// Dead letters written at once by one partition.
pub(crate) const DEAD_LETTER_WRITES: usize = 32;
/// Dead letters on one page.
pub(crate) const LETTERS_PER_PAGE: usize = 1_000;
/// Bytes of dead letters on one page; the first is taken whatever its size.
pub(crate) const LETTER_PAGE_BYTES: usize = 16 << 20;
/// Dead letters redriven or discarded in one turn, between which others get theirs.
pub(crate) const LETTERS_PER_TURN: usize = 64;
/// Dead letters that a redrive names as left alone; more are left alone without a word.
pub(crate) const SKIPPED_TOLD: usize = 10_000;
/// The newest dead letters that are found by their origin.
pub(crate) const ORIGINS_KEPT: usize = 100_000;
/// Records and bytes read at once where this crate reads for itself.
pub(crate) const OWN_READ_RECORDS: usize = 1_000;
/// See [`OWN_READ_RECORDS`].
pub(crate) const OWN_READ_BYTES: usize = 4 << 20;
/// How long one read waits for something new.
pub(crate) const READ_WAIT: Duration = Duration::from_secs(1);
/// How often what isn't there is looked for again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A worker that was silent for this long is gone.
pub(crate) const SESSION: Duration = Duration::from_secs(6);
/// How often a worker says that it is there: a third of its session.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);
/// The least time between two heartbeats, however often the state changes.
pub(crate) const HEARTBEAT_LEAST: Duration = Duration::from_millis(200);
/// The least time between two commits of a pipeline's positions.
pub(crate) const COMMIT_LEAST: Duration = Duration::from_millis(100);
/// How often the topics of a pipeline are looked at, for those that were deleted and made again.
pub(crate) const SHAPES_LOOK: Duration = Duration::from_secs(5);
/// How long a partition that was given up may take to finish what it is doing.
pub(crate) const RELEASE_LIMIT: Duration = Duration::from_secs(30);
/// How long a partition that another owner has claimed is left alone before it is claimed again.
pub(crate) const FENCED_REST: Duration = Duration::from_secs(1);
/// The first and the longest wait between attempts on a sink that can't be reached.
pub(crate) const OUTAGE_WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// The longest time that a receiver may ask to be left alone before the next attempt.
pub(crate) const ASKED_WAIT: Duration = Duration::from_secs(3_600);
/// Threads that run one pipeline's steps in this process.
pub(crate) const STEP_THREADS: usize = 4;
/// Errors in a worker's status.
pub(crate) const STATUS_ERRORS: usize = 5;
/// Bytes of an error in a worker's status: with all else that is said there, it has to fit into 16 KiB as JSON.
pub(crate) const STATUS_ERROR_BYTES: usize = 400;
/// Sinks that a worker's status names.
pub(crate) const STATUS_SINKS: usize = 16;
/// Bytes of a sink's name in a worker's status.
pub(crate) const STATUS_SINK_BYTES: usize = 200;
/// How often the directory looks at positions to know rates.
pub(crate) const RATE_SAMPLE: Duration = Duration::from_secs(1);
/// The same when nobody has asked for as long: a node may have very many groups.
pub(crate) const RATE_SAMPLE_IDLE: Duration = Duration::from_secs(5);
/// Samples behind a rate.
pub(crate) const RATE_SAMPLES: usize = 10;
