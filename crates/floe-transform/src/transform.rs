//! Steps, compiled.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use crate::{Runner, Schemas, Step, TransformError, program::Program};

/// Compiled steps. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Transform {
    steps: Arc<[CompiledStep]>,
    /// Threads that had to be given up, over all runners of these steps.
    given_up: Arc<AtomicUsize>,
}

#[derive(Debug)]
pub(crate) enum CompiledStep {
    Filter(Program),
    Map(Program),
    Schema(Schemas),
}

impl Transform {
    /// Compiles steps; refuses programs that are known not to end (recursive definitions, `repeat`, `infinite`, inputs)
    /// or that reach outside (`env`, `input`, `halt`).
    pub fn compile(steps: &[Step]) -> Result<Self, TransformError> {
        let compiled = steps.iter().enumerate().map(|(at, step)| {
            let compiled = match step {
                Step::Filter(code) => Program::compile(code).map(CompiledStep::Filter),
                Step::Map(code) => Program::compile(code).map(CompiledStep::Map),
                Step::Schema(set) => Schemas::read(set).map(CompiledStep::Schema),
            };
            compiled.map_err(|why| TransformError { step: at + 1, why })
        });
        Ok(Self { steps: compiled.collect::<Result<_, _>>()?, given_up: Arc::default() })
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Makes ready a thread that runs the steps; it is started with the first batch. Each record may take `limit`, and its
    /// output is bounded.
    #[must_use]
    pub fn start(&self, limit: Duration) -> Runner {
        Runner::new(Arc::clone(&self.steps), Arc::clone(&self.given_up), limit)
    }
}
