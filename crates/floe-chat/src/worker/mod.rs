//! The chat's workers: from `query` to `prompt` to `answer`.
//!
//! Each step is a consumer group of its own, so that of all processes that offer to do it one does, and another takes over when
//! that one is gone. What was done and not committed is done again, under the same ids: the topics get it once.

mod member;
mod prompts;
mod queries;
mod reply;
mod stops;

use std::{sync::Arc, time::Duration};

use floe_engine::Clock;
use floe_pipeline::Log;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use self::{prompts::Prompts, queries::Queries, stops::Stops};
use crate::{
    ChatSettings, Knowledge, failure::Failures, library::Library, model::Model, profanity::ProfanityFilter,
    sessions::Sessions, topics,
};

/// What both steps work with.
#[derive(Clone, Debug)]
struct Tools {
    log: Log,
    library: Library,
    sessions: Sessions,
    filter: Arc<ProfanityFilter>,
    model: Option<Arc<Model>>,
    failures: Arc<Failures>,
    clock: Clock,
}

/// The workers of this process. Dropping it ends them at once, as a crash would: what they held is done by others.
#[derive(Debug)]
pub struct ChatWorkers {
    tasks: JoinSet<()>,
    drain: watch::Sender<bool>,
}

impl ChatWorkers {
    /// Checks the settings and begins to work; what can't be reached is waited for. `Err` says what is wrong with the settings.
    /// Must be called inside a tokio runtime.
    pub fn start(log: Log, settings: &ChatSettings, knowledge: Knowledge) -> Result<Self, String> {
        let Knowledge { library, sessions, clock } = knowledge;
        let model = settings.model.clone().map(Model::new).transpose()?.map(Arc::new);
        let tools = Tools {
            library,
            sessions,
            filter: Arc::new(settings.profanity.filter()?),
            model,
            failures: Arc::new(Failures::new(log.clone())),
            clock,
            log,
        };
        let (drain, draining) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(work(tools, settings.retention, settings.sessions.expiry, draining));
        Ok(Self { tasks, drain })
    }

    /// Lets the workers finish the answers they write (at most so long), commits, leaves the groups.
    pub async fn drain(mut self, limit: Duration) {
        self.drain.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(limit, all).await.is_err() {
            tracing::warn!(
                "the chat's workers did not finish in time; what they held is answered by others, or later"
            );
        }
    }
}

/// Both steps, once their topics are there.
async fn work(tools: Tools, retention: Duration, expiry: Duration, mut drain: watch::Receiver<bool>) {
    let log = tools.log.clone();
    tokio::select! {
        () = topics::make_at_last(&log, retention, expiry) => {}
        _ = drain.wait_for(|drain| *drain) => return,
    }
    let queries = Arc::new(Queries::new(tools.clone()));
    let prompts = Arc::new(Prompts::new(tools, Stops::follow(log.clone())));
    let take_queries = Box::new(move |stint| {
        let queries = Arc::clone(&queries);
        Box::pin(async move { queries.work(stint).await }) as _
    });
    let take_prompts = Box::new(move |stint| {
        let prompts = Arc::clone(&prompts);
        Box::pin(async move { prompts.work(stint).await }) as _
    });
    let mut steps = JoinSet::new();
    steps.spawn(member::hold(log.clone(), queries::POST, drain.clone(), take_queries));
    steps.spawn(member::hold(log, prompts::POST, drain, take_prompts));
    while steps.join_next().await.is_some() {}
}
