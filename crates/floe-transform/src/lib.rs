//! What happens to a record between a topic and a sink: filters and maps in jq's language, and JSON Schema checks.
//!
//! Programs come from the operator's configuration only. They are compiled once, and run on a thread of their own that
//! is watched: each turn of a loop is counted and can be stopped, and what doesn't end for all that is given up together
//! with its thread.
//!
//! Differences from jq: a definition may not call itself, and there is nothing that reaches outside of the record
//! (`input`, `env`, `import`, `halt`, `debug`). Integers of any size and decimals keep their digits unless they are
//! calculated with; an integer that leaves 64 bits goes on exactly, everything else is a double.

mod check;
mod eval;
mod json;
mod limits;
mod natives;
mod program;
mod rewrite;
mod runner;
mod schema;
mod step;
mod told;
mod transform;

pub use limits::{OUTPUT_BYTES_MAX, OUTPUTS_MAX, TURNS_MAX};
pub use runner::{Runner, RunnerError};
pub use schema::{SchemaFault, Schemas};
pub use step::{Input, Outcome, SchemaChoice, SchemaSet, Step, TransformError};
pub use transform::Transform;
