//! What isn't started, and why.

use floe_pipeline::{FuseSpec, Log, PipelineSpec, Pipelines, Services};
use floe_transform::Step;
use serde_json::json;

use crate::stage::{Stage, pipeline, sink};

fn refused(stage: &Stage, specs: Vec<PipelineSpec>) -> String {
    let services = Services { log: Log::Engine(stage.engine()), store: None, redis: None };
    Pipelines::start(services, specs).unwrap_err()
}

#[tokio::test]
async fn a_pipeline_that_cannot_work_is_refused_with_its_name() {
    let stage = Stage::new();
    let fine = || pipeline("fine", "t", vec![sink(json!({ "type": "stdout" }))]);
    let changed = |change: &dyn Fn(&mut PipelineSpec)| {
        let mut spec = fine();
        change(&mut spec);
        refused(&stage, vec![spec])
    };
    assert!(changed(&|spec| spec.name = "not a name".into()).contains("letters, digits"));
    assert!(changed(&|spec| spec.from.clear()).contains("reads no topic"));
    assert!(changed(&|spec| spec.sinks.clear()).contains("no sink"));
    assert!(changed(&|spec| spec.from.push("dlq.fine".into())).contains("redrive"));
    assert!(changed(&|spec| spec.retry.attempts = 0).contains("at least one attempt"));
    assert!(changed(&|spec| spec.retry.elapsed = std::time::Duration::MAX).contains("365d"));
    assert!(changed(&|spec| spec.fuse = Some(FuseSpec { share: 0.0, window: 1 })).contains("share"));
    assert!(
        changed(&|spec| spec.sinks.push(sink(json!({ "type": "topic", "topic": "t" }))))
            .contains("writes to it")
    );
    let table = || sink(json!({ "type": "sql", "table": "rows", "columns": { "v": "." } }));
    assert!(changed(&|spec| spec.sinks.extend([table(), table()])).contains("the table 'rows'"));
    let why = changed(&|spec| spec.steps.push(Step::Filter(".a ==".into())));
    assert!(why.starts_with("pipeline 'fine': step 1"), "{why}");
    assert!(refused(&stage, vec![fine(), fine()]).contains("two of this name"));
    let mut twin = fine();
    twin.name = "twin".into();
    assert!(refused(&stage, vec![fine(), twin]).contains("group"));
}
