//! The documents that answers come from: a topic, and an index of it in memory.

use std::sync::Arc;

use bytes::Bytes;
use floe_engine::{Append, NewRecord, StoredRecord};
use floe_pipeline::{Log, LogError};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    documents::{Document, Hit, Index, Passage},
    follow::{Follower, OwnedTask, Seen, tell_seen},
    limits::{
        CUT_INLINE_BYTES, DOCUMENT_BYTES_MAX, DOCUMENT_ID_BYTES_MAX, LIBRARY_BYTES_MAX, RECORD_BYTES_MAX,
        TITLE_BYTES_MAX,
    },
    message::rfc3339,
    topics,
};

/// The documents, up to date within moments. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) struct Library {
    shelf: Arc<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    index: Arc<RwLock<Indexed>>,
    /// The offset behind what is indexed; `None` until all that was there at the start is.
    seen: watch::Receiver<Seen>,
    _follower: OwnedTask,
}

#[derive(Debug, Default)]
struct Indexed {
    index: Index,
    /// When each document was stored, milliseconds since the epoch.
    stored: std::collections::HashMap<String, i64>,
}

/// A document without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DocumentSummary {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Bytes of its content.
    pub bytes: usize,
    /// Into how many passages it was cut.
    pub passages: usize,
    /// When it was stored last, RFC 3339.
    pub updated_at: String,
}

/// A document with its content and the passages it was cut into.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentView {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// All of its text.
    pub content: String,
    /// What answers are found in.
    pub passages: Vec<PassageView>,
}

/// A passage of a document.
#[derive(Clone, Debug, Serialize)]
pub struct PassageView {
    /// Counted from 0.
    pub number: u32,
    /// The headings above it.
    pub section: String,
    /// Its text.
    pub text: String,
}

/// Why a document isn't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It has no text.
    #[error("the document's content is empty")]
    Empty,
    /// It has too much text.
    #[error(
        "the document has {bytes} bytes, at most {DOCUMENT_BYTES_MAX} are taken: cut it into several documents"
    )]
    TooLarge {
        /// How much, its title included.
        bytes: usize,
    },
    /// Its id isn't one.
    #[error("a document's id has 1 to {DOCUMENT_ID_BYTES_MAX} bytes and no control characters")]
    Id,
    /// Its title isn't one.
    #[error("a document's title has at most {TITLE_BYTES_MAX} bytes and no control characters")]
    Title,
    /// There is no more room.
    #[error("all documents together have at most {LIBRARY_BYTES_MAX} bytes: delete some first")]
    Full,
    /// The log didn't take it.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A document as a record's value.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    title: String,
    content: String,
}

impl Library {
    /// Begins to read the documents. Must be called inside a tokio runtime.
    pub(crate) fn follow(log: Log) -> Self {
        let index: Arc<RwLock<Indexed>> = Arc::default();
        let (seen, watched) = watch::channel(None);
        let follower = OwnedTask::spawn(follow(log, Arc::clone(&index), seen));
        Self { shelf: Arc::new(Shelf { index, seen: watched, _follower: follower }) }
    }

    /// Waits until the documents that were there at the start are indexed. Cancel-safe.
    pub(crate) async fn ready(&self) {
        // the follower lives as long as the shelf
        let _ = self.shelf.seen.clone().wait_for(Option::is_some).await;
    }

    /// Waits until the record at this offset is indexed. Cancel-safe.
    pub(crate) async fn has_read(&self, offset: i64) {
        let _ = self.shelf.seen.clone().wait_for(|seen| seen.is_some_and(|seen| seen > offset)).await;
    }

    /// The passages that match a question best, the best first.
    pub(crate) fn search(&self, question: &str, limit: usize) -> Vec<Hit> {
        self.shelf.index.read().index.search(question, limit)
    }

    /// All documents by id.
    pub(crate) fn documents(&self) -> Vec<DocumentSummary> {
        let indexed = self.shelf.index.read();
        let all = indexed.index.documents().map(|document| summary(&indexed, document));
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// One document in full.
    pub(crate) fn document(&self, id: &str) -> Option<DocumentView> {
        let indexed = self.shelf.index.read();
        let document = indexed.index.get(id)?;
        Some(DocumentView {
            id: document.id.clone(),
            title: document.title.clone(),
            content: document.content.clone(),
            passages: indexed.index.passages_of(id).map(|passage| view(passage)).collect(),
        })
    }

    /// Checks a document, and that there is room for it.
    pub(crate) fn check(&self, document: &Document) -> Result<(), DocumentError> {
        let controls = |text: &str| text.chars().any(char::is_control);
        if document.id.is_empty() || document.id.len() > DOCUMENT_ID_BYTES_MAX || controls(&document.id) {
            return Err(DocumentError::Id);
        }
        if document.title.len() > TITLE_BYTES_MAX || controls(&document.title) {
            return Err(DocumentError::Title);
        }
        let bytes = document.title.len() + document.content.len();
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLarge { bytes });
        }
        if document.content.trim().is_empty() {
            return Err(DocumentError::Empty);
        }
        let indexed = self.shelf.index.read();
        let replaced = indexed.index.get(&document.id).map_or(0, |before| before.bytes());
        if indexed.index.bytes() - replaced + bytes > LIBRARY_BYTES_MAX {
            return Err(DocumentError::Full);
        }
        Ok(())
    }

    /// What the index says of a document now.
    pub(crate) fn summary(&self, id: &str) -> Option<DocumentSummary> {
        let indexed = self.shelf.index.read();
        indexed.index.get(id).map(|document| summary(&indexed, document))
    }
}

/// Stores a document over the one of this id; durable on `Ok`. Answers its offset.
pub(crate) async fn store(log: &Log, document: &Document) -> Result<i64, DocumentError> {
    let stored = Stored { title: document.title.clone(), content: document.content.clone() };
    let value = serde_json::to_vec(&stored).map_err(|error| LogError::Refused(error.to_string()))?;
    if value.len() > RECORD_BYTES_MAX {
        return Err(DocumentError::TooLarge { bytes: value.len() });
    }
    append(log, &document.id, Some(value.into())).await
}

/// Deletes a document; durable on `Ok`. Answers the deletion's offset.
pub(crate) async fn remove(log: &Log, id: &str) -> Result<i64, DocumentError> {
    append(log, id, None).await
}

async fn append(log: &Log, id: &str, value: Option<Bytes>) -> Result<i64, DocumentError> {
    let key = Some(Bytes::copy_from_slice(id.as_bytes()));
    let record = NewRecord { key, value, partition: Some(0), ..NewRecord::default() };
    let topic = topics::DOCUMENTS.to_owned();
    let append = Append { topic, records: vec![record], acks: None, idempotency: None };
    Ok(log.append(append).await?.placements.last().map_or(-1, |place| place.offset))
}

async fn follow(log: Log, index: Arc<RwLock<Indexed>>, seen: watch::Sender<Seen>) {
    let mut follower = Follower::from_start(log, topics::DOCUMENTS);
    loop {
        let page = follower.next_page().await;
        for record in page.records {
            if record.value.as_ref().is_some_and(|value| value.len() > CUT_INLINE_BYTES) {
                let index = Arc::clone(&index);
                // what panics there has left the document out
                let _ = tokio::task::spawn_blocking(move || take_in(&index, &record)).await;
            } else {
                take_in(&index, &record);
            }
        }
        tell_seen(&seen, page.next_offset, page.high_watermark);
    }
}

fn take_in(index: &RwLock<Indexed>, record: &StoredRecord) {
    let Some(id) = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()) else {
        tracing::warn!(
            topic = topics::DOCUMENTS,
            offset = record.offset,
            "a document without an id is left out"
        );
        return;
    };
    let Some(value) = record.value.as_deref() else {
        let mut indexed = index.write();
        indexed.index.remove(id);
        indexed.stored.remove(id);
        return;
    };
    match serde_json::from_slice::<Stored>(value) {
        Ok(stored) => {
            let document = Document { id: id.to_owned(), title: stored.title, content: stored.content };
            let mut indexed = index.write();
            indexed.index.put(document);
            indexed.stored.insert(id.to_owned(), record.timestamp);
        }
        Err(error) => {
            let offset = record.offset;
            tracing::warn!(topic = topics::DOCUMENTS, offset, %error, "a record that holds no document is left out");
        }
    }
}

fn summary(indexed: &Indexed, document: &Document) -> DocumentSummary {
    DocumentSummary {
        id: document.id.clone(),
        title: document.title.clone(),
        bytes: document.content.len(),
        passages: indexed.index.passages_of(&document.id).count(),
        updated_at: rfc3339(indexed.stored.get(&document.id).copied().unwrap_or_default()),
    }
}

fn view(passage: &Passage) -> PassageView {
    PassageView {
        number: passage.number,
        section: passage.section.to_string(),
        text: passage.text.to_string(),
    }
}
