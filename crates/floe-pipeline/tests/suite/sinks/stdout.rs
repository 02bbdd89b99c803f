use serde_json::json;

use super::{Stage, batch, record};

#[tokio::test]
async fn standard_output_takes_lines() {
    let stage = Stage::new();
    let sink = stage.open(json!({"type": "stdout", "format": "value"})).unwrap();
    assert_eq!(sink.label(), "stdout");
    let mut hold = sink.claim(&super::key(0), "w1").await.unwrap();
    assert_eq!(hold.position(), None);
    hold.deliver(&batch(vec![record(0, "{\"a\": 1}")])).await.unwrap();
    hold.deliver(&batch(vec![])).await.unwrap();
}
