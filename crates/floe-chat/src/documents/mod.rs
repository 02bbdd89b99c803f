//! Documents, cut into passages, and the passages that answer a question.
//!
//! Everything here is synchronous and knows no topic: whoever follows the topic of documents puts them into an [`Index`]
//! and asks it. The index finds passages by the words of the question (BM25), and [`extract()`] makes an answer of the
//! sentences in them where there is no language model.

mod document;
mod entries;
mod extract;
mod index;
mod limits;
mod passages;
mod postings;
mod proximity;
mod quote;
mod ranking;
mod sections;
mod sentences;
mod stop_words;
mod synonyms;
mod terms;

pub use document::Document;
pub use extract::extract;
pub use index::{Hit, Index};
pub use limits::{
    ANSWER_COVERAGE_MIN, ANSWER_QUOTES_MAX, HEADING_BYTES_MAX, PASSAGE_BYTES_MAX, PASSAGE_BYTES_TARGET,
    QUESTION_BYTES_MAX, QUESTION_TERMS_MAX, QUOTE_BYTES_MAX, TERM_BYTES_MAX,
};
pub use passages::{Passage, passages};
pub use quote::quote;
