//! Every bound of a WebSocket.

use std::time::Duration;

/// A client's message, all fragments together. More is answered by close code 1009, told by the header alone.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Frames that one message may come in. More is answered by 1009.
pub(crate) const FRAGMENTS_MAX: u32 = 4096;
/// How long a message may take from its first byte to its last. Longer is answered by 1008.
pub(crate) const MESSAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Control frames (pings, pongs) taken within [`CONTROL_WINDOW`]. More is answered by 1008.
pub(crate) const CONTROL_FRAMES_MAX: u32 = 200;
/// The window in which control frames are counted.
pub(crate) const CONTROL_WINDOW: Duration = Duration::from_secs(1);
/// Sub-protocols that a handshake may offer.
pub(crate) const SUBPROTOCOLS_MAX: usize = 16;

/// Subscriptions of one socket. One more is refused with an error.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 1_000;
/// Messages in a row that can't be understood. The last one is answered by 1008.
pub(crate) const BAD_MESSAGES_MAX: u32 = 100;
/// A `client_id` or `request_id`, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;
/// The text of a `filter`; it is kept as long as its subscription.
pub(crate) const FILTER_BYTES_MAX: usize = 4096;

/// Replies that wait for earlier ones, publishes in flight among them. While there are so many, nothing is read.
pub(crate) const REPLIES_WAITING_MAX: usize = 256;
/// Bytes of publishes in flight. While there are so many, nothing is read.
pub(crate) const PUBLISH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Unsent bytes above which nothing is read from the client: its next requests wait until it takes the answers.
pub(crate) const UNSENT_REPLY_BYTES_MAX: usize = 64 * 1024;
/// Records taken from a subscription at once. With [`TAKE_BYTES`] it bounds a socket's unsent events: they are taken
/// only when all taken before have been handed to the kernel.
pub(crate) const TAKE_RECORDS: usize = 64;
/// Bytes of records taken from a subscription at once; a single record may be larger.
pub(crate) const TAKE_BYTES: usize = 64 * 1024;
/// Frames gathered into one write.
pub(crate) const WRITE_FRAMES: usize = 64;
/// Times that a socket is filled in one turn before other sockets get theirs.
pub(crate) const ROUNDS_PER_TURN: usize = 8;
/// Bytes read at once.
pub(crate) const READ_BYTES: usize = 16 * 1024;
/// Reads in one turn before deliveries get theirs.
pub(crate) const READS_PER_TURN: usize = 4;
/// Reads of what a client still sends while it is closed.
pub(crate) const LINGER_READS_MAX: usize = 256;
/// Bytes the kernel may hold unsent for one socket. A reader that stalls is noticed after these, not after the
/// megabytes that the kernel would otherwise buffer for it.
pub(crate) const KERNEL_UNSENT_BYTES: u32 = 128 * 1024;

/// Time between two pings of the server.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a client may be silent.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(90);
/// How long a close waits: for what is unsent to go out, and for the client's own close.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stopping server waits for a socket's publishes in flight.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(5);
