//! Real services for tests, as the distribution packages them: started on free ports, killed as a crash would, and gone
//! with the test that started them. What is missing is a failure that names the package, never a skip.

mod postgres;
mod program;
mod proxy;
mod redis;

pub use postgres::Postgres;
pub use program::{Program, command, find_program, free_port};
pub use proxy::{Proxy, Traffic};
pub use redis::Redis;
