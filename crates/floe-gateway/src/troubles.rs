//! What is wrong behind the doors while they still work: pipelines that stopped or can't deliver, a log, a store or Redis
//! that can't be reached.

use floe_store::ConnectionState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{gateway::Gateway, timestamp};

/// One part that doesn't work, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Trouble {
    /// `pipeline <name>`, `log`, `store` or `redis`.
    #[schema(example = "store")]
    part: String,
    reason: String,
}

/// All of them. Except with the log, events are accepted and read all the same.
pub(crate) async fn of(gateway: &Gateway) -> Vec<Trouble> {
    let mut troubles = match gateway.is_log_away() {
        true => vec![log("it can't be reached".to_owned())],
        false => of_pipelines(gateway).await,
    };
    if let Some(events) = gateway.events() {
        troubles.extend(unreachable("store", &events.store.database().state()));
        troubles.extend(events.store.redis_state().and_then(|state| unreachable("redis", &state)));
    }
    troubles
}

async fn of_pipelines(gateway: &Gateway) -> Vec<Trouble> {
    let pipelines = match gateway.directory().list().await {
        Ok(pipelines) => pipelines,
        Err(error) => return vec![log(error.to_string())],
    };
    pipelines
        .into_iter()
        .filter(|view| matches!(view.state, "failed" | "fuse_blown" | "retrying"))
        .map(|view| Trouble {
            part: format!("pipeline {}", view.name),
            reason: match view.reason {
                Some(reason) => format!("{}: {reason}", view.state),
                None => view.state.to_owned(),
            },
        })
        .collect()
}

fn log(reason: String) -> Trouble {
    Trouble { part: "log".to_owned(), reason }
}

fn unreachable(part: &str, state: &ConnectionState) -> Option<Trouble> {
    let ConnectionState::Failing { since_ms, attempts, error } = state else { return None };
    let since = timestamp::format(*since_ms).map(|since| format!(" since {since}")).unwrap_or_default();
    Some(Trouble {
        part: part.to_owned(),
        reason: format!("can't be reached{since}, {attempts} attempts: {error}"),
    })
}
