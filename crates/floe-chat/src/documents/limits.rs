//! Every bound of retrieval, with its unit in its name.

/// Bytes of a passage that a document is cut into, about: a few paragraphs, which is what one answer needs.
pub const PASSAGE_BYTES_TARGET: usize = 900;
/// Bytes of a passage at most; what has no better place to be cut is cut here.
pub const PASSAGE_BYTES_MAX: usize = 1_600;
/// Bytes of one heading in a passage's section; a longer one loses its end. Of a title as many are searched.
pub const HEADING_BYTES_MAX: usize = 200;
/// Bytes of a term; a longer word counts by its beginning.
pub const TERM_BYTES_MAX: usize = 64;
/// Bytes of a question that are read; what lies behind them isn't searched for.
pub const QUESTION_BYTES_MAX: usize = 4_096;
/// Different terms of a question that are searched for. Of a longer question the rarest count.
pub const QUESTION_TERMS_MAX: usize = 32;
/// Bytes of a quotation.
pub const QUOTE_BYTES_MAX: usize = 300;
/// Quotations in an extracted answer.
pub const ANSWER_QUOTES_MAX: usize = 3;
/// The share of a question, by the weight of its terms, that a passage has to hold to be quoted in an answer.
pub const ANSWER_COVERAGE_MIN: f32 = 0.4;
