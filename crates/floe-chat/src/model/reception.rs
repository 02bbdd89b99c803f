//! One attempt as it is heard: what came so far, to whom it goes, and what it means for breaker and clock.

use floe_pipeline::sinks::fields::Secret;

use super::{
    breaker::Ticket,
    chunk::Failure,
    clock::{Clock, Stage},
    error::ModelError,
    excerpt, refusal,
};

/// The answer of one attempt while it comes.
pub(super) struct Reception<'a> {
    pub(super) clock: Clock,
    content: String,
    limit_bytes: usize,
    hand_out: &'a mut (dyn FnMut(&str) + Send),
    ticket: Ticket<'a>,
    key: Option<&'a Secret>,
}

impl<'a> Reception<'a> {
    pub(super) fn new(
        clock: Clock,
        ticket: Ticket<'a>,
        key: Option<&'a Secret>,
        limit_bytes: usize,
        hand_out: &'a mut (dyn FnMut(&str) + Send),
    ) -> Self {
        Self { clock, content: String::new(), limit_bytes, hand_out, ticket, key }
    }

    /// A token came, shown or not: the model lives.
    pub(super) fn token(&mut self) {
        self.clock.token();
        self.ticket.alive();
    }

    /// Hands out a part of the answer, unless the answer would be too long with it.
    pub(super) fn hand_out(&mut self, part: &str) -> Result<(), ModelError> {
        if self.content.len() + part.len() > self.limit_bytes {
            let handed_out_bytes = self.content.len();
            return Err(ModelError::TooLong { limit_bytes: self.limit_bytes, handed_out_bytes });
        }
        self.content.push_str(part);
        (self.hand_out)(part);
        Ok(())
    }

    /// The server's words, fit for an error.
    pub(super) fn told(&self, words: &str) -> String {
        excerpt::of(words, self.key)
    }

    /// The key, if the server was given one.
    pub(super) fn key(&self) -> Option<&'a Secret> {
        self.key
    }

    pub(super) fn timed_out(&self, stage: Stage) -> ModelError {
        ModelError::TimedOut { stage, handed_out_bytes: self.content.len() }
    }

    pub(super) fn cut_off(&self, cause: &str) -> ModelError {
        ModelError::CutOff { handed_out_bytes: self.content.len(), cause: self.told(cause) }
    }

    pub(super) fn not_understood(&self, why: &str) -> ModelError {
        ModelError::NotUnderstood { handed_out_bytes: self.content.len(), why: self.told(why) }
    }

    /// An error in place of (the rest of) an answer. What was said before anything was handed out is as good as a status.
    pub(super) fn failed(&self, failure: &Failure) -> ModelError {
        match failure.status {
            Some(status) if self.content.is_empty() => refusal::of(status, self.told(&failure.words), None),
            _ => self.cut_off(&format!("the server said: {}", failure.words)),
        }
    }

    /// The answer is whole.
    pub(super) fn succeed(self) -> String {
        self.ticket.succeeded();
        self.content
    }

    /// The attempt has failed.
    pub(super) fn fail(self, error: &ModelError) {
        if error.blames_the_model() {
            self.ticket.failed();
        } else {
            self.ticket.succeeded();
        }
    }
}
