//! Keeps profanity out of what people post.

mod filter;
mod marks;
mod words;

pub use filter::{Checked, Policy, ProfanityFilter, Severity};
pub use words::{UnusableWord, WORD_CHARACTERS_MAX, WORDS_MAX};
