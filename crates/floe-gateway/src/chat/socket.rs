//! `/chat/ws`: a session over a WebSocket.

use std::{collections::VecDeque, fmt, pin::Pin, sync::Arc};

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use floe_chat::{Chat, ChatError, Question, Seat, SessionView, Told, new_id};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{chat, failure, sessions::Session};
use crate::{
    gateway::Gateway,
    json,
    params::Params,
    problem::{ApiError, Problem},
    ws::{self, Conversation, Heard},
};

/// A session over a WebSocket
///
/// JSON text frames. To the server: `query{content, request_id?}`, `stop{request_id}`, `ping`. From it: first `session` (what was
/// said, and answers that are being written), then `ack` (the question is stored), `query` (somebody asked), `delta`, `restart`
/// (what came of the answer so far doesn't count), `answer`, `error`, `stopping`
/// (the answer will end), `pong`. All sockets of a session are told the same; one that
/// is far behind is told the whole `session` again.
#[utoipa::path(
    get,
    path = "/chat/ws",
    tag = "chat (seed 002)",
    params(
        ("session_id" = Option<String>, Query, description = "Which session; a new one if absent"),
        ("user_id" = Option<String>, Query, description = "Who asks: a session belongs to who opened it"),
    ),
    responses(
        (status = 101, description = "The socket is open"),
        (status = 403, description = "A page of another origin", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The session is somebody else's", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "An id that isn't one", body = Problem, content_type = "application/problem+json"),
        (status = 426, description = "Not a WebSocket handshake", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many sockets in the session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn chat_socket(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Result<Response, ApiError> {
    let params = Params::parse(request.uri().query(), &["session_id", "user_id"])?;
    let session = params.text("session_id").map_or_else(new_id, str::to_owned);
    let user = params.text("user_id").map(str::to_owned);
    let chat = chat(&gateway)?.clone();
    let seat = chat.join(&session, user.as_deref()).await.map_err(failure)?;
    Ok(ws::upgrade_to_talk(gateway, request, Talk::new(chat, session, user, seat)))
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Asked {
    Query { content: String, request_id: Option<String> },
    Stop { request_id: String },
    Ping {},
}

type Acting = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// One socket's side of a session. Requests are acted on one after the other; while one is under way nothing is read.
struct Talk {
    chat: Chat,
    session: String,
    user: Option<String>,
    seat: Seat,
    opening: Option<Bytes>,
    waiting: VecDeque<Bytes>,
    acting: Option<Acting>,
    /// Too much happened: the session is told anew.
    missed: bool,
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talk").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Talk {
    fn new(chat: Chat, session: String, user: Option<String>, mut seat: Seat) -> Self {
        let view = std::mem::replace(&mut seat.view, SessionView { turns: Vec::new(), running: Vec::new() });
        let opening = Some(opening(&session, view));
        Self { chat, session, user, seat, opening, waiting: VecDeque::new(), acting: None, missed: false }
    }

    /// Begins what was asked for next, unless something is under way.
    fn act(&mut self) {
        if self.acting.is_some() {
            return;
        }
        let Some(text) = self.waiting.pop_front() else { return };
        let (chat, session, user) = (self.chat.clone(), self.session.clone(), self.user.clone());
        self.acting = Some(Box::pin(async move { reply(&chat, session, user, &text).await }));
    }

    /// Takes a seat anew and tells the session as it is.
    async fn look_anew(&mut self) -> Bytes {
        match self.chat.join(&self.session, self.user.as_deref()).await {
            Ok(mut seat) => {
                let nothing = SessionView { turns: Vec::new(), running: Vec::new() };
                let view = std::mem::replace(&mut seat.view, nothing);
                self.seat = seat;
                self.missed = false;
                opening(&self.session, view)
            }
            Err(error) => {
                self.missed = false;
                refusal(None, error)
            }
        }
    }
}

impl Conversation for Talk {
    async fn next(&mut self) -> Vec<Bytes> {
        if let Some(opening) = self.opening.take() {
            return vec![opening];
        }
        if self.missed {
            return vec![self.look_anew().await];
        }
        self.act();
        let acting = async {
            match &mut self.acting {
                Some(acting) => acting.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reply = acting => {
                self.acting = None;
                vec![reply]
            }
            told = self.seat.next() => match told {
                Told::Event(event) => vec![text(&*event)],
                Told::Missed => {
                    self.missed = true;
                    Vec::new()
                }
            },
        }
    }

    fn hear(&mut self, text: Bytes) -> Heard {
        self.waiting.push_back(text);
        Heard::Something
    }

    fn is_listening(&self) -> bool {
        self.acting.is_none() && self.waiting.is_empty()
    }
}

/// Does what a client asked for; answers what it is told.
async fn reply(chat: &Chat, session: String, user: Option<String>, asked: &Bytes) -> Bytes {
    match parse(asked) {
        Err(error) => {
            text(&json!({"type": "error", "code": error.code().as_str(), "detail": error.detail()}))
        }
        Ok(Asked::Ping {}) => text(&json!({"type": "pong"})),
        Ok(Asked::Stop { request_id }) => match chat.stop(&session, user.as_deref(), &request_id).await {
            Ok(()) => text(&json!({"type": "stopping", "request_id": request_id})),
            Err(error) => refusal(Some(request_id), error),
        },
        Ok(Asked::Query { content, request_id }) => {
            let question = Question {
                session_id: session.clone(),
                user_id: user,
                request_id: request_id.clone(),
                content,
                trace_id: None,
            };
            match chat.ask(question).await {
                Ok(asked) => text(&json!({
                    "type": "ack",
                    "request_id": asked.request_id,
                    "session_id": session,
                    "partition": asked.placement.partition,
                    "offset": asked.placement.offset,
                })),
                Err(error) => refusal(request_id, error),
            }
        }
    }
}

fn parse(asked: &Bytes) -> Result<Asked, ApiError> {
    json::require_object(asked)?;
    serde_json::from_slice(asked).map_err(|error| json::syntax_in_line(&error))
}

fn opening(session: &str, view: SessionView) -> Bytes {
    #[derive(Serialize)]
    struct Opening {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(flatten)]
        session: Session,
    }
    text(&Opening { kind: "session", session: Session::new(session, view) })
}

fn refusal(request_id: Option<String>, error: ChatError) -> Bytes {
    let error = failure(error);
    let mut refusal = json!({"type": "error", "code": error.code().as_str(), "detail": error.detail()});
    if let Some(request_id) = request_id {
        refusal["request_id"] = request_id.into();
    }
    text(&refusal)
}

fn text(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
