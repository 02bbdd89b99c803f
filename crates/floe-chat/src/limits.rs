//! Every bound of the chat, with its unit in its name. (A language model's are in its folder, retrieval's in its own.)

use std::time::Duration;

/// Bytes of a question or of a message that is posted: about four thousand characters of any script.
pub const CONTENT_BYTES_MAX: usize = 16_000;
/// Bytes of an id of a session, a user or a request.
pub const ID_BYTES_MAX: usize = 64;
/// Bytes of a document, its title included: one record of Kafka's usual size has to hold it.
pub const DOCUMENT_BYTES_MAX: usize = 1_000_000;
/// Bytes of a document as JSON: text with very many quotes or line ends takes more than its own bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 1_200_000;
/// Bytes of a document's id.
pub const DOCUMENT_ID_BYTES_MAX: usize = 200;
/// Bytes of a document's title.
pub const TITLE_BYTES_MAX: usize = 300;
/// Bytes of all documents together: with their index they take about five times as much memory in each process that answers.
pub const LIBRARY_BYTES_MAX: usize = 64 << 20;
/// Bytes of a document over which it is cut away from the threads that sockets wait for.
pub(crate) const CUT_INLINE_BYTES: usize = 32 << 10;
/// Passages that a question is answered from.
pub const PASSAGES_PER_ANSWER: usize = 5;

/// Sessions that are remembered without Redis; over that the one that was quiet for longest is forgotten.
pub const SESSIONS_KEPT: usize = 10_000;
/// New sessions in a burst before they are limited to [`NEW_SESSIONS_PER_SECOND`].
pub const NEW_SESSIONS_BURST: u32 = 1_000;
/// New sessions a second, on one gateway, in the long run.
pub const NEW_SESSIONS_PER_SECOND: u32 = 20;
/// Questions of one session that wait for their answers; one more is refused.
pub const QUESTIONS_PER_SESSION: usize = 8;
/// Questions of all sessions that wait for their answers at one gateway; one more is refused.
pub const QUESTIONS_WAITING: usize = 5_000;
/// Sockets of one session; one more is refused.
pub const SOCKETS_PER_SESSION: usize = 16;
/// Events that wait for one socket. A socket that is further behind is shown the whole session anew.
pub const EVENTS_PER_SOCKET: usize = 256;
/// Answers that a gateway keeps at hand for those who come back, in all.
pub const ANSWERS_AT_HAND: usize = 10_000;

/// Questions that a worker reads at once.
pub(crate) const QUESTIONS_READ: usize = 64;
/// Bytes read at once.
pub(crate) const READ_BYTES: usize = 4 << 20;
/// Records read at once where the chat follows a topic of its own.
pub(crate) const RECORDS_READ: usize = 500;
/// How long one read waits for something new.
pub(crate) const READ_WAIT: Duration = Duration::from_secs(1);
/// How often what isn't there is looked for again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A worker that was silent for this long is gone.
pub(crate) const SESSION: Duration = Duration::from_secs(6);
/// How often a worker says that it is there.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);
/// How often a worker looks whether a partition that somebody else has is its own now.
pub(crate) const HEARTBEAT_WAITING: Duration = Duration::from_millis(500);
/// Answers that a worker writes at once.
pub(crate) const ANSWERS_AT_ONCE: usize = 64;
/// How long what a model says is gathered before it is sent on.
pub(crate) const DELTA_EVERY: Duration = Duration::from_millis(30);
/// How often a question is tried when the model fails for a while.
pub(crate) const ATTEMPTS: u32 = 3;
/// The pause before a question is tried again.
pub(crate) const ATTEMPT_PAUSE: Duration = Duration::from_millis(500);
/// How long an answer may take in all: less than the topics keep, so that what is asked is still there when a worker is lost.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(100);
/// Requests to stop an answer that a worker keeps in mind.
pub(crate) const STOPS_KEPT: usize = 10_000;
/// How often a gateway looks for questions that nobody answers.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// How long Redis may take for one answer.
pub(crate) const REDIS_WAIT: Duration = Duration::from_secs(5);
