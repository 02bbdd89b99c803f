//! What a language model of tests does.

use std::{collections::VecDeque, time::Duration};

/// How a request is treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// The answer is streamed to its end, as the protocol says.
    Streams,
    /// The answer comes as one piece of JSON, though a stream was asked for.
    AnswersWhole,
    /// The request is read, and nothing is ever said.
    NeverAnswers,
    /// An error; its text repeats the `Authorization` that came.
    Fails {
        /// The HTTP status.
        status: u16,
        /// The header `Retry-After`, as it is to stand there.
        retry_after: Option<String>,
    },
    /// A page in HTML with status 200, as some proxies send.
    SendsPage,
    /// Some words are streamed, then nothing more is said.
    Stalls {
        /// How many.
        after_words: usize,
    },
    /// Some words are streamed, then the connection is cut.
    CutsOff {
        /// How many.
        after_words: usize,
    },
    /// Some words are streamed, then the response ends in good order, but without a finish and without `[DONE]`.
    EndsEarly {
        /// How many.
        after_words: usize,
    },
    /// Some words are streamed, then an event that holds an error, which repeats the `Authorization` that came.
    FailsInStream {
        /// How many.
        after_words: usize,
        /// The error's text.
        message: String,
    },
    /// Some words are streamed, then an event that is no JSON.
    TalksGarbage {
        /// How many.
        after_words: usize,
    },
}

/// What is to be said, how fast, and how.
#[derive(Debug)]
pub(super) struct Script {
    /// The request's own words, if there are none.
    pub(super) text: Option<String>,
    pub(super) before_first: Duration,
    pub(super) before_others: Duration,
    pub(super) standing: Behaviour,
    /// What comes before the standing one, one for each request.
    pub(super) next: VecDeque<Behaviour>,
}

/// What one request is answered with.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) text: Option<String>,
    pub(super) before_first: Duration,
    pub(super) before_others: Duration,
    pub(super) behaviour: Behaviour,
}

impl Script {
    /// What the next request is answered with.
    pub(super) fn take(&mut self) -> Part {
        Part {
            text: self.text.clone(),
            before_first: self.before_first,
            before_others: self.before_others,
            behaviour: self.next.pop_front().unwrap_or_else(|| self.standing.clone()),
        }
    }
}

impl Default for Script {
    fn default() -> Self {
        Self {
            text: Some("Hello, world.".to_owned()),
            before_first: Duration::ZERO,
            before_others: Duration::ZERO,
            standing: Behaviour::Streams,
            next: VecDeque::new(),
        }
    }
}
