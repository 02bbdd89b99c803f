//! The function's process, and what it answers.

use std::{collections::HashMap, path::Path, process::Command, time::Duration};

use floe_testkit::services::{Program, command};
use serde_json::Value;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    event::{Api, Event},
    runtime_api::{RuntimeApi, Told},
};

/// The function's time-out, as the template sets it.
pub(crate) const FUNCTION_TIMEOUT: Duration = Duration::from_secs(28);
/// How long something may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(90);

/// A function that is running, or frozen.
pub(crate) struct Function {
    program: Program,
    lambda: RuntimeApi,
}

/// An answer as API Gateway gets it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
}

/// The program, with what Lambda and the template put into its environment.
pub(crate) fn bootstrap(runtime_api: &str) -> Command {
    let mut bootstrap = command(Path::new(env!("CARGO_BIN_EXE_bootstrap")), None);
    bootstrap.env_clear().envs([
        ("PATH", "/usr/bin:/bin"),
        ("AWS_LAMBDA_FUNCTION_NAME", "floe"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true"),
        ("AWS_LAMBDA_RUNTIME_API", runtime_api),
    ]);
    bootstrap
}

impl Function {
    /// A cold start, with this cluster.
    pub(crate) async fn start(brokers: &str) -> Self {
        let lambda = RuntimeApi::start().await;
        let mut bootstrap = bootstrap(&lambda.address());
        bootstrap.env("KAFKA_BROKER_URL", brokers);
        Self { program: Program::start("floe-lambda", bootstrap), lambda }
    }

    /// The newest lines of its log.
    fn said(&self) -> String {
        self.program.said().join("\n")
    }

    /// Invokes it and takes its answer.
    pub(crate) async fn call(&self, api: Api, event: &Event) -> Answer {
        self.call_within(FUNCTION_TIMEOUT, api, event).await
    }

    /// The same with another time-out of the function.
    pub(crate) async fn call_within(&self, within: Duration, api: Api, event: &Event) -> Answer {
        let told = self.lambda.invoke(event.of(api), within).await;
        self.answer(told).await
    }

    /// Invokes it, and doesn't wait.
    pub(crate) async fn begin(&self, api: Api, event: &Event) -> oneshot::Receiver<Told> {
        self.lambda.invoke(event.of(api), FUNCTION_TIMEOUT).await
    }

    /// Waits for the answer to what was begun.
    pub(crate) async fn answer(&self, told: oneshot::Receiver<Told>) -> Answer {
        let told = timeout(PATIENCE, told).await;
        let told = told.unwrap_or_else(|_| panic!("no answer came:\n{}", self.said()));
        match told.unwrap() {
            Ok(answer) => Answer::of(&answer),
            Err(error) => panic!("the function failed: {error}\n{}", self.said()),
        }
    }

    /// What Lambda does when there is nothing to do: none of its threads runs.
    pub(crate) async fn freeze(&self) {
        self.program.pause();
        let stat = format!("/proc/{}/stat", self.program.id());
        until("the process stands still", async || {
            let stat = std::fs::read_to_string(&stat).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
        })
        .await;
    }

    pub(crate) fn thaw(&self) {
        self.program.resume();
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.program.id()
    }
}

impl Answer {
    fn of(answer: &Value) -> Self {
        // API Gateway would pass the text of base64 on as it is
        assert_eq!(answer["isBase64Encoded"], false, "{answer}");
        let pairs = |name: &str| answer[name].as_object().cloned().unwrap_or_default().into_iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let single = pairs("headers").map(|(name, value)| (name, text(&value)));
        let several = pairs("multiValueHeaders").map(|(name, values)| {
            assert_eq!(values.as_array().unwrap().len(), 1, "{name} comes once");
            (name, text(&values[0]))
        });
        Self {
            status: answer["statusCode"].as_u64().unwrap(),
            headers: single.chain(several).collect(),
            body: serde_json::from_str(answer["body"].as_str().unwrap_or("null")).unwrap(),
        }
    }

    /// Where the event went.
    pub(crate) fn place(&self) -> (u32, i64) {
        place_in(&self.body)
    }

    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u64, code: &str) {
        assert_eq!((self.status, &self.body["code"]), (status, &Value::from(code)), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert!(!self.body["detail"].as_str().unwrap().is_empty());
    }
}

pub(crate) fn place_in(event: &Value) -> (u32, i64) {
    let number = |name: &str| event[name].as_i64().unwrap_or_else(|| panic!("no {name} in {event}"));
    (u32::try_from(number("partition")).unwrap(), number("offset"))
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !holds().await {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}
