//! Every bound of the model's client, with its unit in its name, and what is used unless configured.

use std::time::Duration;

/// For connecting.
pub(super) const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// From asking to the first token: a model may have to be loaded, and a long prompt read.
pub(super) const FIRST_TOKEN_WAIT: Duration = Duration::from_secs(45);
/// Between two tokens.
pub(super) const IDLE_WAIT: Duration = Duration::from_secs(20);
/// For an answer with all attempts and the pauses between them.
pub(super) const TOTAL_WAIT: Duration = Duration::from_secs(90);
/// The longest that any of these may be.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// After an answer's finish was told: for what a server may send behind it.
pub(super) const FINISH_WAIT: Duration = Duration::from_secs(2);
/// After the very last event: for the end of the response, without which the connection can't be used again.
pub(super) const DRAIN_WAIT: Duration = Duration::from_millis(100);
/// For the text that explains a refusal.
pub(super) const REFUSAL_WAIT: Duration = Duration::from_secs(2);

/// Attempts after the first.
pub(super) const RETRIES: u32 = 3;
/// The most that can be configured.
pub(super) const RETRIES_MAX: u32 = 10;
/// The longest first pause before an attempt; it doubles each time.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause of our own choice.
pub(super) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// The longest pause at the server's wish. Who wishes for more is not asked again, and the wish is told.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Attempts that fail one after the other before the model is left alone.
pub(super) const FAILURES_TO_OPEN: u32 = 5;
/// For how long it is left alone.
pub(super) const OPEN_PAUSE: Duration = Duration::from_secs(10);
/// When to come again while somebody else tries whether the model is back.
pub(super) const TRIAL_WAIT: Duration = Duration::from_secs(1);

/// Bytes of an answer.
pub(super) const ANSWER_BYTES: usize = 256 << 10;
/// The most that can be configured.
pub(super) const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of a model's name.
pub(super) const NAME_BYTES_MAX: usize = 256;
/// Bytes of one line of a stream: some servers send a whole answer in one.
pub(super) const LINE_BYTES_MAX: usize = 4 << 20;
/// Bytes of one event of a stream, all its lines together.
pub(super) const EVENT_BYTES_MAX: usize = 4 << 20;
/// Bytes of one stream: each token comes in some hundred bytes of JSON, thoughts that aren't shown too.
pub(super) const STREAM_BYTES_MAX: usize = 64 << 20;
/// Bytes of an answer's JSON that comes as a whole, escaped as a server likes.
pub(super) const WHOLE_BYTES_MAX: usize = 4 << 20;
/// Bytes that are read of a refusal.
pub(super) const REFUSAL_BYTES_MAX: usize = 16 << 10;
/// Bytes of the server's words in an error.
pub(super) const TOLD_BYTES_MAX: usize = 300;
