//! The ingestion routes as an AWS Lambda function behind API Gateway: events go to Kafka, and are answered when it has them.
//!
//! The engine is opened once, at the cold start, and its connections are kept between invocations. Lambda freezes the process
//! as soon as it has answered, so no answer is given before everything that it promises is done.

mod answer_in_time;
mod elsewhere;
mod environment;
mod limits;

use std::process::ExitCode;

use axum::{Router, middleware::from_fn};
use floe_engine::Engine;
use lambda_http::tracing;

#[tokio::main]
async fn main() -> ExitCode {
    tracing::init_default_subscriber();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function can't go on");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), lambda_http::Error> {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err(
            "this is a function for AWS Lambda, and Lambda isn't there; `floe serve` runs anywhere".into()
        );
    }
    let config = environment::read(std::env::vars())?;
    let engine = Engine::open_kafka(&config)?;
    wait_for_cluster(&engine).await;
    lambda_http::run(doors(engine)).await
}

/// The first invocation shouldn't pay for what can be done before it. A cluster that isn't there is no reason to fail: the
/// invocations say so, and it may come back.
async fn wait_for_cluster(engine: &Engine) {
    let why = match tokio::time::timeout(limits::START_LIMIT, engine.ready()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it was not ready within {} s", limits::START_LIMIT.as_secs()),
    };
    tracing::warn!(why, "the Kafka cluster is not there yet");
}

fn doors(engine: Engine) -> Router {
    floe_gateway::ingestion_router(engine)
        .layer(from_fn(elsewhere::refuse))
        .layer(from_fn(answer_in_time::answer_in_time))
}
