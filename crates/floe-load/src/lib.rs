//! The load generator: an honest client that knows only the public protocols.
//!
//! [`start`] begins a run and [`LoadRun::report`] waits for its [`Report`]. A run is an *open loop*: records are due at
//! instants that the rate fixes in advance, and a latency counts from that instant, so that a server that stalls shows
//! it in every record that fell due meanwhile, not only in the one it stalled on. At [`Rate::Max`] there is no
//! schedule: each connection sends as soon as it has its answer, and a latency is that of the exchange.
//!
//! A record ends in one of three ways. *Acknowledged*: the server gave its promise. *Failed*: it certainly isn't
//! stored. *Unknown*: the connection broke or the time was over after sending, so nobody can say. With
//! [`Retry::For`] a record is sent again under the same `Idempotency-Key` until it is one of the first two; with
//! [`Verify::ReadBack`] the topic is read back and held against all three.

pub mod http;
pub mod limits;
pub mod topic;
pub mod view;

mod backoff;
mod encode;
mod feed;
mod http_worker;
mod ledger;
mod options;
mod payload;
mod progress;
mod rate;
mod record_id;
mod report;
mod run;
mod tally;
mod verify;
mod ws_worker;

pub use backoff::Backoff;
pub use options::{Acks, Door, Extent, LoadOptions, Retry, Source, Verify};
pub use payload::{Payload, Payloads};
pub use progress::{IntervalLatency, Phase, Progress};
pub use rate::{Period, Rate, RateError};
pub use record_id::{CRC_HEADER, ID_HEADER, RecordId, RunId};
pub use report::{LatencyReport, Report, grouped};
pub use run::{LoadRun, Stopper, start};
pub use verify::Verification;
pub use ws_worker::{Socket, open_socket};
