//! One answer: written while others watch, remembered by its session, stored.

use std::time::Duration;

use floe_engine::StoredRecord;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{Tools, prompts::POST, stops::Stops};
use crate::{
    documents::{extract, quote},
    failure::{Unanswered, persist},
    limits::{ANSWER_LIMIT, ATTEMPT_PAUSE, ATTEMPTS, DELTA_EVERY, LOOK_AGAIN, PASSAGES_PER_ANSWER},
    message::{ANY_CONTENT, AnswerStatus, Message, MessageType, Turn, rfc3339},
    model::{Model, ModelError},
    prompt,
    sessions::SessionError,
    stream::{News, StreamEvent},
};

/// What is said when no passage answers the question.
const NOTHING_FOUND: &str = "I found nothing about that in the documents.";

/// Writes answers.
#[derive(Debug)]
pub(super) struct Replier {
    tools: Tools,
    stops: Stops,
}

/// An answer on its way: what was said and not yet told, and where it is told.
struct Telling<'a> {
    tools: &'a Tools,
    prompt: &'a Message,
    attempt: i64,
    said: Mutex<Said>,
    news: Notify,
}

#[derive(Default)]
struct Said {
    all: String,
    /// Bytes of it that were told.
    told: usize,
    /// When something was told last.
    last: Option<Instant>,
}

impl Replier {
    pub(super) fn new(tools: Tools, stops: Stops) -> Self {
        Self { tools, stops }
    }

    /// Answers a prompt: on return the answer is stored, or the failure is.
    pub(super) async fn answer(&self, record: &StoredRecord, prompt: &Message) {
        let written = match timeout(ANSWER_LIMIT, self.write(prompt)).await {
            Ok(written) => written,
            Err(_) => Err(Unanswered {
                code: "TIMED_OUT",
                detail: format!("the model did not answer within {} seconds", ANSWER_LIMIT.as_secs()),
                attempts: 1,
            }),
        };
        match written {
            Ok((content, status)) => self.store(record, prompt, content, status).await,
            Err(why) => self.fail(record, prompt, &why).await,
        }
    }

    /// The answer's text, told as it comes; or what there was when somebody stopped it.
    async fn write(&self, prompt: &Message) -> Result<(String, AnswerStatus), Unanswered> {
        let mut attempt = self.tools.clock.now_ms();
        let mut attempts = 1;
        loop {
            let telling =
                Telling { tools: &self.tools, prompt, attempt, said: Mutex::default(), news: Notify::new() };
            let answered = tokio::select! {
                biased;
                () = self.stops.asked(&prompt.session_id, &prompt.id) => {
                    return Ok((telling.said.into_inner().all, AnswerStatus::Stopped));
                }
                answered = self.say(&telling) => answered,
            };
            match answered {
                Ok(content) => return Ok((content, AnswerStatus::Answered)),
                // a model that is left alone for a while was not asked
                Err(Failed { why: _, again: Again::After(pause) }) => sleep(pause).await,
                Err(Failed { why, again: Again::Now }) if attempts < ATTEMPTS => {
                    tracing::warn!(
                        request_id = prompt.id,
                        trace_id = prompt.trace_id,
                        attempts,
                        error = why,
                        "an answer is begun anew"
                    );
                    sleep(ATTEMPT_PAUSE * attempts).await;
                    attempts += 1;
                }
                Err(Failed { why, .. }) => {
                    return Err(Unanswered { code: "MODEL_FAILED", detail: why, attempts });
                }
            }
            attempt = self.tools.clock.now_ms().max(attempt + 1);
        }
    }

    /// One attempt.
    async fn say(&self, telling: &Telling<'_>) -> Result<String, Failed> {
        let Some(model) = &self.tools.model else {
            let content = self.quoted(telling.prompt).unwrap_or_else(|| NOTHING_FOUND.to_owned());
            telling.say(&content);
            telling.tell().await;
            return Ok(content);
        };
        let answering = ask(model, telling);
        tokio::pin!(answering);
        loop {
            tokio::select! {
                biased;
                answered = &mut answering => {
                    if answered.is_ok() {
                        telling.tell().await;
                    }
                    return answered;
                }
                () = telling.due() => telling.tell().await,
            }
        }
    }

    /// What the passages say. A prompt that somebody else made has none: they are looked for here.
    fn quoted(&self, prompt: &Message) -> Option<String> {
        if prompt.question.is_some() {
            return prompt.extract.clone();
        }
        let hits = self.tools.library.search(&prompt.content, PASSAGES_PER_ANSWER);
        let quotes: Vec<_> = hits.iter().map(|hit| quote(&prompt.content, &hit.passage.text)).collect();
        extract(&hits, &quotes)
    }

    /// Stores an answer; one that is too large for its topic is a failure.
    async fn store(&self, record: &StoredRecord, prompt: &Message, content: String, status: AnswerStatus) {
        let now_ms = self.tools.clock.now_ms();
        let mut answer = prompt.follow_up(MessageType::Answer, content, now_ms);
        answer.status = Some(status);
        answer.sources = prompt.excerpts.iter().map(|excerpt| excerpt.source.clone()).collect();
        if answer.content == NOTHING_FOUND {
            answer.sources.clear();
        }
        // before the answer: whoever has seen that may ask on
        self.remember(prompt, &answer, status, None).await;
        let append = answer.append_once(ANY_CONTENT);
        let stored = persist("an answer", || self.tools.log.append(append.clone())).await;
        let Some(stored) = stored else {
            let detail = "the answer is larger than its topic takes".to_owned();
            let why = Unanswered { code: "TOO_LARGE", detail, attempts: 1 };
            return self.fail(record, prompt, &why).await;
        };
        if let Some(place) = stored.placements.last() {
            tracing::info!(
                topic = "answer", offset = place.offset, request_id = answer.id, trace_id = answer.trace_id,
                sources = answer.sources.len(), status = ?status, "an answer"
            );
        }
    }

    async fn fail(&self, record: &StoredRecord, prompt: &Message, why: &Unanswered) {
        let now_ms = self.tools.clock.now_ms();
        tracing::warn!(
            request_id = prompt.id,
            trace_id = prompt.trace_id,
            code = why.code,
            error = why.detail,
            "a question was not answered"
        );
        self.tools.failures.bury(POST.topic, record, why, now_ms).await;
        let nothing = prompt.follow_up(MessageType::Answer, String::new(), now_ms);
        self.remember(prompt, &nothing, AnswerStatus::Failed, Some(why.detail.clone())).await;
        self.tools.failures.tell(prompt, why, now_ms).await;
    }

    /// Has the session remember it; a store that can't be reached is waited for.
    async fn remember(
        &self,
        prompt: &Message,
        answer: &Message,
        status: AnswerStatus,
        error: Option<String>,
    ) {
        let turn = Turn {
            request_id: prompt.id.clone(),
            question: prompt.question.clone().unwrap_or_default(),
            answer: answer.content.clone(),
            sources: answer.sources.clone(),
            status,
            error,
            at: rfc3339(self.tools.clock.now_ms()),
        };
        let mut failed = false;
        while let Err(SessionError::Unavailable(why)) =
            self.tools.sessions.remember(&prompt.session_id, &turn).await
        {
            if !failed {
                tracing::warn!(why, "a session can't be written for now; it is tried again");
            }
            failed = true;
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Why an attempt came to nothing.
struct Failed {
    why: String,
    again: Again,
}

/// Whether another attempt may do better.
enum Again {
    Never,
    Now,
    After(Duration),
}

async fn ask(model: &Model, telling: &Telling<'_>) -> Result<String, Failed> {
    let messages = prompt::spoken(telling.prompt);
    let answered = model.answer(&messages, &mut |delta| telling.say(delta)).await;
    match answered {
        Ok(answered) => Ok(answered.content),
        Err(error) => {
            let again = match &error {
                ModelError::Open { retry_in } => Again::After(*retry_in),
                error if error.is_temporary() => Again::Now,
                _ => Again::Never,
            };
            Err(Failed { why: error.to_string(), again })
        }
    }
}

impl Telling<'_> {
    /// Notes what was said.
    fn say(&self, delta: &str) {
        self.said.lock().all.push_str(delta);
        self.news.notify_one();
    }

    /// Resolves when there is something to tell, and it is time. Cancel-safe.
    async fn due(&self) {
        loop {
            let (untold, last) = {
                let said = self.said.lock();
                (said.told < said.all.len(), said.last)
            };
            match (untold, last) {
                (true, Some(last)) => return sleep_until(last + DELTA_EVERY).await,
                (true, None) => return,
                (false, _) => self.news.notified().await,
            }
        }
    }

    /// Tells what was said and not yet told. What can't be told now goes with what comes next.
    async fn tell(&self) {
        let (content, through) = {
            let said = self.said.lock();
            (said.all[said.told..].to_owned(), said.all.len())
        };
        if content.is_empty() {
            return;
        }
        let event = StreamEvent {
            session_id: self.prompt.session_id.clone(),
            request_id: self.prompt.id.clone(),
            attempt: self.attempt,
            news: News::Delta { content },
        };
        let told = event.tell(&self.tools.log).await.is_ok();
        let mut said = self.said.lock();
        said.last = Some(Instant::now());
        if told {
            said.told = through;
        }
    }
}
