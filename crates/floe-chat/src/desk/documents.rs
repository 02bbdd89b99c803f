//! Documents in and out.

use std::time::Duration;

use tokio::time::timeout;

use super::{Chat, ChatError};
use crate::{
    documents::Document,
    library::{self, DocumentSummary, DocumentView},
};

/// How long a document that was stored is waited for to be indexed here.
const INDEXED_WITHIN: Duration = Duration::from_secs(5);

impl Chat {
    /// Stores a document, over the one of this id if there is; durable on `Ok`. It is found in answers from then on, or a moment
    /// later. Answers what the index says of it; `None` if that took too long.
    pub async fn put_document(&self, document: &Document) -> Result<Option<DocumentSummary>, ChatError> {
        self.inner.library.check(document)?;
        self.topics_made().await?;
        let offset = library::store(&self.inner.log, document).await?;
        let _ = timeout(INDEXED_WITHIN, self.inner.library.has_read(offset)).await;
        Ok(self.inner.library.summary(&document.id))
    }

    /// Deletes a document; durable on `Ok`. `Ok(false)` if there is none.
    pub async fn delete_document(&self, id: &str) -> Result<bool, ChatError> {
        self.documents_read().await;
        if self.inner.library.summary(id).is_none() {
            return Ok(false);
        }
        let offset = library::remove(&self.inner.log, id).await?;
        let _ = timeout(INDEXED_WITHIN, self.inner.library.has_read(offset)).await;
        Ok(true)
    }

    /// All documents by id.
    pub async fn documents(&self) -> Vec<DocumentSummary> {
        self.documents_read().await;
        self.inner.library.documents()
    }

    /// One document in full.
    pub async fn document(&self, id: &str) -> Option<DocumentView> {
        self.documents_read().await;
        self.inner.library.document(id)
    }

    /// Waits until those that were there at the start are read; not for long: then there are those that are.
    async fn documents_read(&self) {
        let _ = timeout(INDEXED_WITHIN, self.inner.library.ready()).await;
    }
}
