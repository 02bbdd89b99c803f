//! What every engine promises, tried through its public methods.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use floe_engine::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_read_back_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { data_dir: dir.path().into(), ephemeral: false, journal: Default::default(), clock: Clock::system() };
    let engine = Engine::open_embedded(config.clone()).unwrap();
    engine.create_topic(TopicSpec { name: "t".into(), partitions: 3, config: BTreeMap::new() }).await.unwrap();
    let mut tail = engine.tail("t").unwrap();
    for i in 0..10 {
        let record = NewRecord { key: Some(Bytes::from(format!("k{i}"))), value: Some(Bytes::from(format!("v{i}"))), ..Default::default() };
        let a = engine.append(Append { topic: "t".into(), records: vec![record], acks: None, idempotency: None }).await.unwrap();
        assert_eq!(a.placements[0].partition, engine.partition_of("t", format!("k{i}").as_bytes()).unwrap());
    }
    let page = engine.read_topic(TopicRead { topic: "t".into(), from: TopicStart::Earliest, max_records: 100, max_bytes: 1 << 20, wait: Duration::ZERO }).await.unwrap();
    assert_eq!(page.records.len(), 10);
    let mut got = Vec::new();
    while got.len() < 10 { got.extend(tail.next().await.unwrap()); }
    assert_eq!(got, page.records);
    drop(tail);
    engine.close();
    drop(engine);
    let engine = Engine::open_embedded(config).unwrap();
    let again = engine.read_topic(TopicRead { topic: "t".into(), from: TopicStart::Earliest, max_records: 100, max_bytes: 1 << 20, wait: Duration::ZERO }).await.unwrap();
    assert_eq!(again.records, page.records);
}
