//! From `query` to `prompt`: filter the question, find passages for it, add what was said before.

use std::{collections::BTreeSet, sync::Arc};

use floe_engine::{OffsetSpec, StoredRecord};
use tokio::task::JoinSet;

use super::{
    Tools,
    member::{Post, Stint},
};
use crate::{
    documents::{Hit, extract, quote},
    failure::{Unanswered, persist},
    limits::PASSAGES_PER_ANSWER,
    message::{ANY_CONTENT, AnswerStatus, Excerpt, Message, MessageType, Source, Spoken},
    prompt,
};

/// Who reads what.
pub(super) const POST: Post = Post { group: "chat.queries", topic: "query" };

/// The step.
#[derive(Debug)]
pub(super) struct Queries {
    tools: Tools,
}

impl Queries {
    pub(super) fn new(tools: Tools) -> Self {
        Self { tools }
    }

    /// Takes question after question, in their order.
    pub(super) async fn work(self: &Arc<Self>, mut stint: Stint) {
        self.tools.library.ready().await;
        let mut at = stint.from;
        while !stint.is_draining() {
            let read = stint.clone();
            let page = tokio::select! {
                page = read.read(at) => page,
                () = stint.draining() => return,
            };
            at = OffsetSpec::Offset(page.next_offset);
            if !page.records.is_empty() {
                self.take(page.records).await;
                stint.commit(page.next_offset).await;
            }
        }
    }

    /// Makes prompts of questions: as many at once as there are sessions among them, one after the other within a session.
    async fn take(self: &Arc<Self>, records: Vec<StoredRecord>) {
        let mut rest: Vec<(StoredRecord, Option<Message>)> = Vec::with_capacity(records.len());
        rest.extend(records.into_iter().map(|record| {
            let message = Message::of(&record).ok();
            (record, message)
        }));
        while !rest.is_empty() {
            let mut sessions = BTreeSet::new();
            let (wave, later): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, message)| {
                message.as_ref().is_none_or(|message| sessions.insert(message.session_id.clone()))
            });
            // tasks, since to find passages takes a processor its time
            let mut at_once = JoinSet::new();
            for (record, message) in wave {
                let own = Arc::clone(self);
                at_once.spawn(async move { own.one(&record, message.as_ref()).await });
            }
            at_once.join_all().await;
            rest = later;
        }
    }

    async fn one(&self, record: &StoredRecord, query: Option<&Message>) {
        let now_ms = self.tools.clock.now_ms();
        let Some(query) = query else {
            let detail = "the record is no message of the chat: nobody can be told".to_owned();
            let why = Unanswered { code: "NOT_A_MESSAGE", detail, attempts: 1 };
            return self.tools.failures.bury(POST.topic, record, &why, now_ms).await;
        };
        tracing::info!(
            topic = POST.topic,
            offset = record.offset,
            request_id = query.id,
            trace_id = query.trace_id,
            "a question"
        );
        let fault = query.check().err().map(|fault| Unanswered {
            code: "INVALID_QUESTION",
            detail: fault.to_string(),
            attempts: 1,
        });
        if let Some(why) = fault {
            return self.fail(record, query, &why, now_ms).await;
        }
        let checked = self.tools.filter.check(&query.content);
        if checked.rejected {
            // a refusal, not a failure: asking again changes nothing, so there is no dead letter to redrive
            let detail = "the question has words that aren't answered here".to_owned();
            let why = Unanswered { code: "REJECTED", detail, attempts: 1 };
            return self.tools.failures.tell(query, &why, now_ms).await;
        }
        let prompt = self.prompt(query, &checked.content, now_ms).await;
        if !self.hand_on(&prompt).await {
            let detail =
                "the question with its passages and its history is larger than its topic takes".to_owned();
            let why = Unanswered { code: "TOO_LARGE", detail, attempts: 1 };
            self.fail(record, query, &why, now_ms).await;
        }
    }

    async fn fail(&self, record: &StoredRecord, query: &Message, why: &Unanswered, now_ms: i64) {
        self.tools.failures.bury(POST.topic, record, why, now_ms).await;
        self.tools.failures.tell(query, why, now_ms).await;
    }

    /// The question with all that a model has to know.
    async fn prompt(&self, query: &Message, question: &str, now_ms: i64) -> Message {
        let hits = self.tools.library.search(question, PASSAGES_PER_ANSWER);
        let quotes: Vec<_> = hits.iter().map(|hit| quote(question, &hit.passage.text)).collect();
        let quoted = extract(&hits, &quotes);
        let excerpts: Vec<Excerpt> =
            hits.iter().zip(quotes).map(|(hit, snippet)| excerpt(hit, snippet)).collect();
        let mut prompt = query.follow_up(MessageType::Prompt, prompt::text(question, &excerpts), now_ms);
        prompt.question = Some(question.to_owned());
        prompt.excerpts = excerpts;
        prompt.extract = quoted;
        prompt.history = self.history(query).await;
        prompt
    }

    /// What was said before. A question is answered without it rather than not at all.
    async fn history(&self, query: &Message) -> Vec<Spoken> {
        match self.tools.sessions.turns(&query.session_id).await {
            Ok(turns) => turns
                .into_iter()
                .filter(|turn| turn.status != AnswerStatus::Failed && turn.request_id != query.id)
                .map(|turn| Spoken { question: turn.question, answer: turn.answer })
                .collect(),
            Err(error) => {
                tracing::warn!(
                    ?error,
                    request_id = query.id,
                    "a question is answered without its session's history"
                );
                Vec::new()
            }
        }
    }

    /// Stores a prompt; answers whether it could be.
    async fn hand_on(&self, prompt: &Message) -> bool {
        let append = prompt.append_once(ANY_CONTENT);
        let stored = persist("a prompt", || self.tools.log.append(append.clone())).await;
        if let Some(place) = stored.as_ref().and_then(|stored| stored.placements.last()) {
            tracing::info!(
                topic = "prompt",
                offset = place.offset,
                request_id = prompt.id,
                trace_id = prompt.trace_id,
                passages = prompt.excerpts.len(),
                turns = prompt.history.len(),
                "a prompt"
            );
        }
        stored.is_some()
    }
}

fn excerpt(hit: &Hit, snippet: String) -> Excerpt {
    Excerpt {
        source: Source {
            document: hit.passage.document.to_string(),
            title: hit.passage.title.to_string(),
            section: hit.passage.section.to_string(),
            passage: hit.passage.number,
            snippet,
            score: hit.score,
        },
        text: hit.passage.text.to_string(),
    }
}
