//! From `prompt` to `answer`: many sessions at once, one question after the other within each.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    pin::Pin,
};

use floe_engine::{OffsetSpec, Page, StoredRecord};
use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    Tools,
    member::{Post, Stint},
    reply::Replier,
    stops::Stops,
};
use crate::{failure::Unanswered, limits::ANSWERS_AT_ONCE, message::Message};

/// Who reads what.
pub(super) const POST: Post = Post { group: "chat.prompts", topic: "prompt" };

type Reading<'a> = Pin<Box<dyn Future<Output = Page> + Send + 'a>>;
type Committing<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The step.
#[derive(Debug)]
pub(super) struct Prompts {
    tools: Tools,
    replier: Replier,
}

/// Prompts that were read and are not done.
#[derive(Debug, Default)]
struct Desk {
    /// Not begun, in their order.
    waiting: VecDeque<(StoredRecord, Message)>,
    /// Sessions that a prompt is being answered of.
    busy: HashSet<String>,
    /// Offsets of all that isn't done.
    open: BTreeSet<i64>,
    /// Behind all that was read.
    next: i64,
    /// Behind all that was committed.
    committed: i64,
}

impl Desk {
    /// The next one whose session isn't busy.
    fn next_free(&mut self) -> Option<(StoredRecord, Message)> {
        let mut passed = HashSet::new();
        let at = self.waiting.iter().position(|(_, prompt)| {
            let session = prompt.session_id.as_str();
            !self.busy.contains(session) && passed.insert(session)
        })?;
        let (record, prompt) = self.waiting.remove(at)?;
        self.busy.insert(prompt.session_id.clone());
        Some((record, prompt))
    }

    /// Behind everything that is done without a gap.
    fn done_through(&self) -> i64 {
        self.open.first().copied().unwrap_or(self.next)
    }
}

impl Prompts {
    pub(super) fn new(tools: Tools, stops: Stops) -> Self {
        Self { replier: Replier::new(tools.clone(), stops), tools }
    }

    /// Answers prompt after prompt.
    pub(super) async fn work(&self, mut stint: Stint) {
        let hands = stint.clone();
        let mut at = stint.from;
        let mut desk = Desk::default();
        let mut running = FuturesUnordered::new();
        let mut reading: Option<Reading<'_>> = None;
        let mut committing: Option<Committing<'_>> = None;
        loop {
            let draining = stint.is_draining();
            while !draining
                && running.len() < ANSWERS_AT_ONCE
                && let Some((record, prompt)) = desk.next_free()
            {
                running.push(self.one(record, prompt));
            }
            if committing.is_none() && desk.done_through() > desk.committed {
                desk.committed = desk.done_through();
                committing = Some(Box::pin(hands.commit(desk.committed)));
            }
            if draining && running.is_empty() && committing.is_none() {
                return;
            }
            if !draining && reading.is_none() && desk.open.len() < ANSWERS_AT_ONCE {
                reading = Some(Box::pin(hands.read(at)));
            }
            tokio::select! {
                Some((offset, session)) = running.next() => {
                    desk.open.remove(&offset);
                    desk.busy.remove(&session);
                }
                page = pending_or(&mut reading) => {
                    reading = None;
                    at = OffsetSpec::Offset(page.next_offset);
                    self.take(&mut desk, page).await;
                }
                () = pending_or(&mut committing) => committing = None,
                () = stint.draining(), if !draining => {}
            }
        }
    }

    /// Puts what was read on the desk.
    async fn take(&self, desk: &mut Desk, page: Page) {
        if desk.next == 0 {
            desk.committed = page.records.first().map_or(page.next_offset, |record| record.offset);
        }
        desk.next = page.next_offset;
        for record in page.records {
            match Message::of(&record) {
                Ok(prompt) => {
                    desk.open.insert(record.offset);
                    desk.waiting.push_back((record, prompt));
                }
                Err(fault) => {
                    let why = Unanswered { code: "NOT_A_MESSAGE", detail: fault.to_string(), attempts: 1 };
                    let now_ms = self.tools.clock.now_ms();
                    self.tools.failures.bury(POST.topic, &record, &why, now_ms).await;
                }
            }
        }
    }

    /// Answers one; then its place and session are free.
    async fn one(&self, record: StoredRecord, prompt: Message) -> (i64, String) {
        self.replier.answer(&record, &prompt).await;
        (record.offset, prompt.session_id)
    }
}

/// What the future comes to; without one, nothing ever.
async fn pending_or<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageType;

    fn waiting(sessions: &[&str]) -> Desk {
        let mut desk = Desk::default();
        for (offset, session) in (0..).zip(sessions) {
            let record = StoredRecord {
                partition: 0,
                offset,
                timestamp: 0,
                key: None,
                value: None,
                headers: Vec::new(),
                cursor: floe_engine::Cursor::Journal(floe_engine::JournalCursor {
                    topic_id: 1,
                    position: 1,
                    records: 1,
                }),
            };
            let prompt = Message::new(MessageType::Prompt, session, "?".to_owned(), 0);
            desk.open.insert(offset);
            desk.waiting.push_back((record, prompt));
            desk.next = offset + 1;
        }
        desk
    }

    fn begin(desk: &mut Desk) -> Option<i64> {
        desk.next_free().map(|(record, _)| record.offset)
    }

    #[test]
    fn a_session_has_one_answer_at_a_time_and_others_pass_it() {
        let mut desk = waiting(&["a", "a", "b", "a", "b"]);
        assert_eq!((begin(&mut desk), begin(&mut desk), begin(&mut desk)), (Some(0), Some(2), None));
        desk.busy.remove("a");
        assert_eq!((begin(&mut desk), begin(&mut desk)), (Some(1), None));
    }

    #[test]
    fn what_is_done_without_a_gap_is_committed() {
        let mut desk = waiting(&["a", "b", "c"]);
        desk.open.remove(&1);
        assert_eq!(desk.done_through(), 0);
        desk.open.remove(&0);
        assert_eq!(desk.done_through(), 2);
        desk.open.remove(&2);
        assert_eq!(desk.done_through(), 3);
    }
}
