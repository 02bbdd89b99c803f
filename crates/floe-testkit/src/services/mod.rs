//! Real services for tests, as the distribution or the project itself packages them: started on free ports, killed as a
//! crash would, and gone with the test that started them. What is missing is a failure that says where it comes from, never
//! a skip.

mod java;
mod kafka;
mod language_model;
mod postgres;
mod program;
mod proxy;
mod redis;
mod secured;
mod zookeeper;

pub use kafka::Kafka;
pub use language_model::{AskedRequest, Behaviour, LanguageModel};
pub use postgres::Postgres;
pub use program::{Program, command, find_program, free_port};
pub use proxy::{Proxy, Traffic};
pub use redis::Redis;
pub use secured::Secured;
