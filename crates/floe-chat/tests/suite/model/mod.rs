//! The client of a language model against a server that speaks the protocol, on real sockets.

mod answering;
mod failing;
mod leaving_alone;
mod refusing;
mod waiting;

use std::time::Duration;

use floe_chat::model::{
    Answered, BreakerConfig, Model, ModelConfig, ModelError, Role, Secret, Spoken, Waits,
};
use floe_testkit::services::LanguageModel;
use tokio::net::TcpSocket;

const KEY: &str = "sk-very-secret-0123456789";
/// A wait that is meant to be over soon.
const SHORT: Duration = Duration::from_millis(100);
/// A wait that is not meant to be over at all.
const LONG: Duration = Duration::from_secs(60);

/// With short pauses, and more patience than a test takes.
fn config(server: &LanguageModel) -> ModelConfig {
    ModelConfig {
        key: Some(Secret::new(KEY.to_owned())),
        waits: Waits { connect: LONG, first_token: LONG, idle: LONG, total: LONG * 2 },
        retries: 3,
        retry_pause: Duration::from_millis(10),
        breaker: BreakerConfig { failures: 100, pause: LONG },
        ..ModelConfig::new(server.url(), "floe-test")
    }
}

fn model(server: &LanguageModel) -> Model {
    Model::new(config(server)).unwrap()
}

fn question() -> Vec<Spoken> {
    vec![
        Spoken { role: Role::System, content: "Be brief.".to_owned() },
        Spoken { role: Role::User, content: "What is a log?".to_owned() },
    ]
}

/// An address at which nobody listens for as long as the socket is held: a port that was only given back is soon another
/// test's.
fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/v1", socket.local_addr().unwrap());
    (socket, url)
}

/// The answer, and the parts in which it came.
async fn ask(model: &Model) -> (Result<Answered, ModelError>, Vec<String>) {
    let mut parts = Vec::new();
    let answered = model.answer(&question(), &mut |part| parts.push(part.to_owned())).await;
    (answered, parts)
}
