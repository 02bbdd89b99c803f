//! The whole program from outside: started, called, killed, as a user does.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod browser;
mod chat;
mod client_commands;
mod cluster;
mod crash;
mod examples;
mod live_page;
mod node;
mod pipeline_faults;
mod pipelines;
mod refusals;
mod server;
mod socket;
mod workers;
