//! The steps of one record.

use std::panic::{self, AssertUnwindSafe};

use bytes::Bytes;
use jaq_core::ValT as _;
use jaq_json::Val;

use crate::{
    Input, Outcome, SchemaFault, json,
    limits::{OUTPUT_BYTES_MAX, OUTPUTS_MAX},
    natives::Watch,
    program::{Next, Program},
    transform::CompiledStep,
};

/// Runs the steps. Whatever goes wrong in them, a panic too, is this record's affair.
pub(crate) fn run(steps: &[CompiledStep], input: &Input, watch: &Watch) -> Outcome {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| run_steps(steps, input, watch)));
    if watch.is_stopped() {
        return Outcome::Poison("its steps took longer than they may".to_owned());
    }
    match outcome {
        Ok(Ok(values)) if values.is_empty() => Outcome::Dropped,
        Ok(Ok(values)) => Outcome::Values(values),
        Ok(Err(why)) => Outcome::Poison(why),
        Err(_) => Outcome::Poison("its steps failed inside the interpreter".to_owned()),
    }
}

/// A value on its way: the text it came as, or what a map made.
enum Doc {
    Text(Option<Bytes>),
    Made(Val),
}

impl Doc {
    /// The interpreter's value; of a tombstone that is null.
    fn value(&self) -> Result<Val, String> {
        match self {
            Self::Text(None) => Ok(Val::Null),
            Self::Text(Some(text)) => json::parse(text).map_err(|why| format!("value is not JSON: {why}")),
            Self::Made(value) => Ok(value.clone()),
        }
    }

    fn into_bytes(self, max: usize, was_tombstone: bool) -> Result<Option<Bytes>, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Made(Val::Null) if was_tombstone => Ok(None),
            Self::Made(value) => json::print(value, max).map(Some),
        }
    }
}

fn run_steps(steps: &[CompiledStep], input: &Input, watch: &Watch) -> Result<Vec<Option<Bytes>>, String> {
    let mut docs = vec![Doc::Text(input.value.clone())];
    for (at, step) in steps.iter().enumerate() {
        let in_step = |why: String| format!("step {}: {why}", at + 1);
        docs = match step {
            CompiledStep::Filter(program) => filter(program, docs, input, watch),
            CompiledStep::Map(program) => map(program, docs, input, watch),
            CompiledStep::Schema(schemas) => docs
                .into_iter()
                .map(|doc| {
                    let text = match &doc {
                        Doc::Text(text) => text.clone().unwrap_or_else(|| Bytes::from_static(b"null")),
                        Doc::Made(value) => json::print(value.clone(), OUTPUT_BYTES_MAX)?,
                    };
                    schemas.check(&text).map_err(|faults| told(&faults))?;
                    Ok(doc)
                })
                .collect(),
        }
        .map_err(in_step)?;
    }
    let mut left = OUTPUT_BYTES_MAX;
    let mut values = Vec::with_capacity(docs.len());
    for doc in docs {
        let value = doc.into_bytes(left, input.value.is_none())?;
        // What came in may be as large as the log takes it.
        left = left.saturating_sub(value.as_ref().map_or(0, Bytes::len));
        values.push(value);
    }
    Ok(values)
}

fn filter(program: &Program, docs: Vec<Doc>, input: &Input, watch: &Watch) -> Result<Vec<Doc>, String> {
    let mut kept = Vec::with_capacity(docs.len());
    for doc in docs {
        let mut keep = false;
        program.run(input, doc.value()?, watch, |output| {
            keep = output.as_bool();
            Ok(Next::Enough)
        })?;
        if keep {
            kept.push(doc);
        }
    }
    Ok(kept)
}

fn map(program: &Program, docs: Vec<Doc>, input: &Input, watch: &Watch) -> Result<Vec<Doc>, String> {
    let mut made = Vec::new();
    for doc in docs {
        program.run(input, doc.value()?, watch, |output| {
            if made.len() == OUTPUTS_MAX {
                return Err(format!("more than {OUTPUTS_MAX} values come out of it"));
            }
            made.push(Doc::Made(output));
            Ok(Next::More)
        })?;
    }
    Ok(made)
}

fn told(faults: &[SchemaFault]) -> String {
    let fault = |fault: &SchemaFault| match fault.pointer.as_str() {
        "" => fault.detail.clone(),
        pointer => format!("{pointer}: {}", fault.detail),
    };
    let faults: Vec<_> = faults.iter().map(fault).collect();
    format!("the value does not fulfil the schema: {}", faults.join("; "))
}
