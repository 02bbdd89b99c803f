//! A small HTTP/1.1 client: kept-alive connections, one request in flight, prebuilt bytes out, a strict reader in.
//!
//! It exists because the generator of load must not be what limits the load, and because a client that is open about
//! *when* an exchange failed is what tells "failed" from "unknown". The command line uses it too.

mod client;
mod connection;
mod response;
mod target;

pub use client::{CallError, Client, accept};
pub use connection::{Connection, HttpError};
pub use response::Response;
pub use target::{Target, TargetError, escape};
