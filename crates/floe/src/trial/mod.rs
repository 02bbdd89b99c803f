//! `floe pipeline test`: a pipeline's steps on sample records, and whether what comes out is what was expected.

mod cases;
mod compare;

use std::path::{Path, PathBuf};

use floe_transform::{Input, Outcome, Runner, Step, Transform};

use crate::{
    config::{
        ConfigErrors, check_file,
        pipelines::{STEP_LIMIT, steps},
    },
    exit,
    output::{Output, shown},
};
use cases::{Case, Expected, TrialFile};

/// The configuration that is meant when a file names a pipeline and no configuration.
const DEFAULT_CONFIG: &str = "floe.toml";

/// Runs the cases of all files; an error (without words of its own) when one of them failed.
pub(crate) async fn run(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for path in files {
        let trial = cases::read(path).map_err(exit::usage)?;
        let (transform, limit) = subject(path, &trial)?;
        for case in trial.case {
            let mut runner = transform.start(limit);
            let name = shown(&case.name);
            match judge(&mut runner, case).await? {
                None => {
                    passed += 1;
                    out.line(&format!("ok    {name}"))?;
                }
                Some(difference) => {
                    failed += 1;
                    out.line(&format!("FAIL  {name}"))?;
                    for line in difference.lines() {
                        out.line(&format!("      {}", shown(line)))?;
                    }
                }
            }
        }
    }
    out.line(&format!("{passed} passed, {failed} failed"))?;
    out.flush()?;
    if failed > 0 { Err(exit::Silent(1).into()) } else { Ok(()) }
}

/// What a file is about: the steps of a configured pipeline, or its own.
fn subject(path: &Path, trial: &TrialFile) -> anyhow::Result<(Transform, std::time::Duration)> {
    let name = shown(&path.display().to_string());
    let folder = path.parent().unwrap_or(Path::new(""));
    let own = trial.schema.is_some() || trial.filter.is_some() || trial.map.is_some();
    let steps: Vec<Step> = match (&trial.pipeline, own) {
        (Some(_), true) => {
            return Err(exit::usage(format!(
                "{name}: it names a pipeline and has steps of its own: take one of them out"
            )));
        }
        (None, false) => {
            return Err(exit::usage(format!(
                "{name}: it says neither pipeline = \"…\" nor a schema, filter or map: nothing is to be tested"
            )));
        }
        (Some(pipeline), false) => {
            let config = folder.join(trial.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG)));
            let loaded = check_file::check(&config).map_err(ConfigErrors::into_usage)?;
            let Some(spec) = loaded.specs().into_iter().find(|spec| spec.name == *pipeline) else {
                let config = shown(&config.display().to_string());
                return Err(exit::usage(format!("{config} has no pipeline '{}'", shown(pipeline))));
            };
            return compiled(&name, &spec.steps).map(|transform| (transform, spec.step_limit));
        }
        (None, true) => steps(trial.schema.clone(), trial.filter.clone(), trial.map.clone(), folder)
            .map_err(|(key, why)| exit::usage(format!("{name}: {key}: {why}")))?
            .into_iter()
            .map(|(_, step)| step)
            .collect(),
    };
    compiled(&name, &steps).map(|transform| (transform, STEP_LIMIT))
}

fn compiled(name: &str, steps: &[Step]) -> anyhow::Result<Transform> {
    Transform::compile(steps).map_err(|error| exit::usage(format!("{name}: {error}")))
}

/// Runs one case; answers how what came out differs from what was expected.
async fn judge(runner: &mut Runner, case: Case) -> anyhow::Result<Option<String>> {
    let (input, expected): (Input, Expected) = case.take_apart().map_err(exit::usage)?;
    let outcomes = runner.run(vec![input]).await?;
    let outcome = outcomes.into_iter().next().unwrap_or(Outcome::Dropped);
    Ok(compare::difference(&expected, &outcome))
}
