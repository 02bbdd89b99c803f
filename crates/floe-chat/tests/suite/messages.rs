//! Messages in, and each out once, in order.

use std::{collections::BTreeSet, time::Duration};

use floe_chat::{ChatSettings, MessageType, ProfanitySettings, profanity::Policy};
use floe_engine::{OffsetSpec, PartitionRead};

use crate::stage::{PATIENCE, Stage, until};

async fn post(stage: &Stage, kind: MessageType, content: &str) -> String {
    let message = stage.chat.message(kind, "s", content.to_owned());
    stage.chat.post(message).await.unwrap().message.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_callers_get_each_message_once_in_order_across_a_restart() {
    let mut stage = Stage::idle(ChatSettings::default());
    let mut posted = Vec::new();
    for number in 0..200 {
        posted.push(post(&stage, MessageType::Prompt, &number.to_string()).await);
    }
    let mut taken = Vec::new();
    for half in [100, 200] {
        let callers: Vec<_> = (0..20)
            .map(|_| {
                let chat = stage.chat.clone();
                tokio::spawn(async move {
                    let mut mine = Vec::new();
                    for _ in 0..5 {
                        let message =
                            chat.take(MessageType::Prompt, "messages", PATIENCE).await.unwrap().unwrap();
                        mine.push((message.offset, message.message.id));
                    }
                    mine
                })
            })
            .collect();
        for caller in callers {
            let mine = caller.await.unwrap();
            assert!(mine.is_sorted_by_key(|(offset, _)| *offset), "a caller went back: {mine:?}");
            taken.extend(mine);
        }
        let offsets: BTreeSet<i64> = taken.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (0..half).collect(), "each once, and none left out");
        stage.restart();
    }
    taken.sort();
    assert_eq!(taken.into_iter().map(|(_, id)| id).collect::<Vec<_>>(), posted);
    let none = stage.chat.take(MessageType::Prompt, "messages", Duration::ZERO).await.unwrap();
    assert_eq!(none, None);
    // another group has them all again
    let first = stage.chat.take(MessageType::Prompt, "others", Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(first.offset, 0);
}

async fn filtered(policy: Policy) -> (String, bool, bool) {
    let words = vec!["floccus".into()];
    let profanity = ProfanitySettings { policy, words, ..ProfanitySettings::default() };
    let stage = Stage::idle(ChatSettings { profanity, ..ChatSettings::default() });
    post(&stage, MessageType::Query, "Scunthorpe, what the fuck is a fl0ccus?").await;
    let taken = stage.chat.take(MessageType::Query, "g", PATIENCE).await.unwrap().unwrap();
    let read = PartitionRead {
        topic: "query".into(),
        partition: 0,
        from: OffsetSpec::Earliest,
        max_records: 1,
        max_bytes: 1 << 20,
        wait: Duration::ZERO,
    };
    let stored = stage.engine.read(read).await.unwrap().records.remove(0).value.unwrap();
    assert!(String::from_utf8_lossy(&stored).contains("fuck"), "what is stored stays as it is");
    (taken.message.content, taken.filtered, taken.rejected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_are_filtered_on_their_way_out_and_nothing_else_is() {
    let masked = "Scunthorpe, what the **** is a *******?".to_owned();
    assert_eq!(filtered(Policy::Mask).await, (masked, true, false));
    assert_eq!(filtered(Policy::Reject).await, (String::new(), true, true));
    let flagged = "Scunthorpe, what the fuck is a fl0ccus?".to_owned();
    assert_eq!(filtered(Policy::Flag).await, (flagged, true, false));
    let stage = Stage::idle(ChatSettings::default());
    for kind in [MessageType::Prompt, MessageType::Answer] {
        post(&stage, kind, "what the fuck").await;
        let taken = stage.chat.take(kind, "g", PATIENCE).await.unwrap().unwrap();
        assert_eq!((taken.message.content.as_str(), taken.filtered), ("what the fuck", false));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_gone_after_two_minutes_and_what_must_last_is_not() {
    let stage = Stage::idle(ChatSettings::default());
    for kind in [MessageType::Query, MessageType::Prompt, MessageType::Answer] {
        post(&stage, kind, "early").await;
    }
    crate::stage::add(&stage.chat, "d", "A document.").await;
    stage.clocks.pass(Duration::from_secs(110));
    post(&stage, MessageType::Query, "late").await;
    stage.clocks.pass(Duration::from_secs(11));
    let start = async |topic: &str| {
        let topic = stage.engine.describe_topic(topic).await.unwrap();
        (topic.partitions[0].start, topic.partitions[0].end)
    };
    until("the early ones are gone", async || {
        start("query").await == (1, 2) && start("prompt").await == (1, 1) && start("answer").await == (1, 1)
    })
    .await;
    let taken = stage.chat.take(MessageType::Query, "g", Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(taken.message.content, "late");
    assert_eq!(start("chat.documents").await, (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_retention_is_what_was_set() {
    let stage = Stage::idle(ChatSettings { retention: Duration::from_secs(7), ..ChatSettings::default() });
    post(&stage, MessageType::Query, "?").await;
    for topic in ["query", "prompt", "answer"] {
        until("it is made", async || stage.engine.topic_config(topic).await.is_ok()).await;
        assert_eq!(stage.engine.topic_config(topic).await.unwrap()["retention.ms"], "7000");
        assert_eq!(stage.engine.topic_summary(topic).await.unwrap().partitions, 1);
    }
}
