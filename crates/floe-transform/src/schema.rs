//! JSON Schemas, compiled once. Other documents are never fetched: a `$ref` to one is an error of the configuration.

use std::collections::BTreeMap;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::{SchemaChoice, SchemaSet, TransformError, json, limits::FAULTS_MAX, told};

/// Compiled schemas. Checking is safe from anywhere at once.
#[derive(Debug)]
pub struct Schemas {
    choice: Choice,
    strict: bool,
}

#[derive(Debug)]
enum Choice {
    One(Validator),
    By { members: Vec<String>, schemas: BTreeMap<String, Validator> },
}

/// What is wrong with a value, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFault {
    /// JSON Pointer to the faulty part; empty for the whole.
    pub pointer: String,
    /// What was expected. Values are not repeated.
    pub detail: String,
}

impl Schemas {
    /// Compiles. `Err` names the schema and what is wrong with it (as a step of its own: number 1).
    pub fn compile(set: &SchemaSet) -> Result<Self, TransformError> {
        Self::read(set).map_err(|why| TransformError { step: 1, why })
    }

    pub(crate) fn read(set: &SchemaSet) -> Result<Self, String> {
        let choice = match &set.choice {
            SchemaChoice::One(text) => Choice::One(compile(text).map_err(|why| format!("the schema {why}"))?),
            SchemaChoice::By { members, schemas } => {
                if members.is_empty() {
                    return Err("no member is named by whose text the schema is chosen".to_owned());
                }
                let compiled = schemas.iter().map(|(name, text)| {
                    let schema =
                        compile(text).map_err(|why| format!("the schema '{}' {why}", told::bounded(name)))?;
                    Ok((name.clone(), schema))
                });
                Choice::By { members: members.clone(), schemas: compiled.collect::<Result<_, String>>()? }
            }
        };
        Ok(Self { choice, strict: set.strict })
    }

    /// Checks a value. `Err` holds the first few faults, at least one.
    pub fn check(&self, value: &[u8]) -> Result<(), Vec<SchemaFault>> {
        let whole = |detail| vec![SchemaFault { pointer: String::new(), detail }];
        let not_json = |why| whole(format!("it is not JSON: {why}"));
        json::check(value).map_err(not_json)?;
        let value: Value = serde_json::from_slice(value).map_err(|error| not_json(error.to_string()))?;
        let Some(schema) = self.schema_for(&value).map_err(whole)? else { return Ok(()) };
        if schema.is_valid(&value) {
            return Ok(());
        }
        let faults = schema.iter_errors(&value).take(FAULTS_MAX);
        Err(faults
            .map(|fault| SchemaFault {
                pointer: fault.instance_path().as_str().to_owned(),
                detail: told::bounded(&fault.masked().to_string()),
            })
            .collect())
    }

    fn schema_for(&self, value: &Value) -> Result<Option<&Validator>, String> {
        let (members, schemas) = match &self.choice {
            Choice::One(schema) => return Ok(Some(schema)),
            Choice::By { members, schemas } => (members, schemas),
        };
        let name = members.iter().find_map(|member| value.get(member)?.as_str());
        let schema = name.and_then(|name| schemas.get(name));
        if schema.is_some() || !self.strict {
            return Ok(schema);
        }
        Err(match name {
            None => format!("expected a text at '{}', by which the schema is chosen", members.join("' or '")),
            Some(name) => format!("there is no schema for '{}'", told::bounded(name)),
        })
    }
}

/// Patterns are matched in linear time: the values come from anybody.
fn compile(text: &str) -> Result<Validator, String> {
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    options.build(&schema).map_err(|error| {
        let (at, error) = (error.instance_path().as_str().to_owned(), told::bounded(&error.to_string()));
        if at.is_empty() {
            format!("can't be used: {error}")
        } else {
            format!("can't be used: {error} (at {at})")
        }
    })
}
