//! A language model that says what it is told to say: an HTTP server that speaks the streaming protocol of chat
//! completions, and fails in each way that real ones do.

mod behaviour;
mod connection;
mod request;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

pub use behaviour::Behaviour;
use behaviour::Script;
use connection::{Counts, State};
pub use request::AskedRequest;

/// How long a condition is awaited.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// A server on a free port of 127.0.0.1. It streams its text (`"Hello, world."` at first) until told otherwise; what it is
/// told holds for requests that come afterwards. Ends with all connections when dropped. Has to be started in a runtime.
#[derive(Debug)]
pub struct LanguageModel {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl LanguageModel {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap_or_else(|error| panic!("the language model could not listen: {error}"));
        let address = listener
            .local_addr()
            .unwrap_or_else(|error| panic!("the language model has no address: {error}"));
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    /// The base of its addresses: `http://127.0.0.1:port/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Its answers are this text from now on, one word (with the blank behind it) a piece.
    pub fn say(&self, text: &str) {
        self.change(|script| script.text = Some(text.to_owned()));
    }

    /// It answers with the last message of the request from now on.
    pub fn echo(&self) {
        self.change(|script| script.text = None);
    }

    /// From now on it waits before the first word, and before each further one.
    pub fn pause(&self, before_first: Duration, before_others: Duration) {
        self.change(|script| (script.before_first, script.before_others) = (before_first, before_others));
    }

    /// How it treats requests from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.change(|script| script.standing = behaviour);
    }

    /// How it treats the next requests, and after that as before. Said again while some are left, those come first.
    pub fn behave_next(&self, requests: usize, behaviour: &Behaviour) {
        self.change(|script| script.next.extend(std::iter::repeat_n(behaviour.clone(), requests)));
    }

    /// The requests that have come so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<AskedRequest> {
        self.state.requests.lock().clone()
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.state.counts.borrow().open
    }

    /// Connections that were ever made.
    #[must_use]
    pub fn seen_connections(&self) -> usize {
        self.state.counts.borrow().seen
    }

    /// Waits until so many connections are open. Panics if that doesn't come about.
    pub async fn until_open_connections(&self, wanted: usize) {
        self.until(|counts| counts.open == wanted, &format!("{wanted} open connections")).await;
    }

    /// Waits until at least so many requests have come. Panics if that doesn't come about.
    pub async fn until_requests(&self, wanted: usize) {
        self.until(|counts| counts.requests >= wanted, &format!("{wanted} requests")).await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut Script) -> T) {
        change(&mut self.state.script.lock());
    }

    async fn until(&self, reached: impl Fn(&Counts) -> bool, what: &str) {
        let mut counts = self.state.counts.subscribe();
        let come = timeout(WAIT_LIMIT, counts.wait_for(|counts| reached(counts))).await;
        assert!(come.is_ok(), "waited for {what}, but there are {:?}", *self.state.counts.borrow());
    }
}

impl Drop for LanguageModel {
    fn drop(&mut self) {
        // The task owns those of its connections.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // One that is gone already is nobody's loss.
                if let Ok((socket, _)) = accepted {
                    connections.spawn(connection::serve(socket, Arc::clone(&state)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
