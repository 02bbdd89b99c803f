//! What a gateway does all the time: follow what is said, and give up what nobody answers.

use std::{sync::Arc, time::Duration};

use floe_engine::Clock;
use floe_pipeline::Log;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::board::Board;
use crate::{
    ChatSettings,
    failure::{Failures, Unanswered},
    follow::Follower,
    limits::SWEEP_EVERY,
    message::{Message, MessageType},
    stream::read,
    topics,
};

/// How long questions without news are waited for beyond the topics' retention.
const PATIENCE_MORE: Duration = Duration::from_secs(5);

/// Makes the topics, and keeps the board up to date.
pub(super) async fn run(
    log: Log,
    settings: ChatSettings,
    clock: Clock,
    making: watch::Sender<bool>,
    board: Arc<Board>,
) {
    topics::make_at_last(&log, settings.retention, settings.sessions.expiry).await;
    making.send_replace(true);
    let failures = Arc::new(Failures::new(log.clone()));
    let mut tasks = JoinSet::new();
    let oldest =
        clock.now_ms().saturating_sub(i64::try_from(patience(&settings).as_millis()).unwrap_or(i64::MAX));
    tasks.spawn(follow_queries(log.clone(), oldest, Arc::clone(&board)));
    tasks.spawn(follow_stream(log.clone(), Arc::clone(&board)));
    tasks.spawn(follow_answers(log, Arc::clone(&board)));
    let mut sweeps = interval(SWEEP_EVERY);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        sweeps.tick().await;
        for lost in board.sweep() {
            tracing::warn!(request_id = lost.request_id, "nobody answered a question in time");
            if let Some(record) = lost.record {
                let (failures, now_ms) = (Arc::clone(&failures), clock.now_ms());
                tokio::spawn(async move {
                    let topic = MessageType::Query.topic();
                    failures.bury(topic, &record, &Unanswered::in_time(), now_ms).await;
                });
            }
        }
    }
}

/// How long questions without news are waited for.
pub(super) fn patience(settings: &ChatSettings) -> Duration {
    settings.retention + PATIENCE_MORE
}

/// Of the questions that are there at the start, those from before `oldest` are over, whatever came of them: over Kafka they may be
/// there for longer than they should.
async fn follow_queries(log: Log, oldest: i64, board: Arc<Board>) {
    let mut follower = Follower::from_start(log, MessageType::Query.topic());
    loop {
        let records = follower.next().await;
        let young = records.iter().filter(|record| record.timestamp >= oldest);
        for record in young {
            if let Ok(query) = Message::of(record) {
                board.saw_query(&query, record);
            }
        }
    }
}

async fn follow_stream(log: Log, board: Arc<Board>) {
    let mut follower = Follower::from_start(log, topics::STREAM);
    loop {
        for event in follower.next().await.iter().filter_map(read) {
            board.saw_news(event);
        }
    }
}

async fn follow_answers(log: Log, board: Arc<Board>) {
    let mut follower = Follower::from_start(log, MessageType::Answer.topic());
    loop {
        for answer in follower.next().await.iter().filter_map(|record| Message::of(record).ok()) {
            board.saw_answer(answer);
        }
    }
}
