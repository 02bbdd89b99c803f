//! How well a passage fits a question: BM25 with field weights, synonyms at a part of their weight, and a little more for
//! terms that are as near to each other as in the question.
//!
//! BM25 as in Robertson & Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond* (2009), section 3; terms in
//! headings count several times, in frequency and length alike, as its BM25F does with fields (section 3.6). The inverse
//! document frequency has the customary `1 +` that keeps it above zero.

use std::collections::HashSet;

use super::{
    limits::{QUESTION_BYTES_MAX, QUESTION_TERMS_MAX},
    postings::{Postings, TermNumber},
    proximity::near,
    synonyms::synonyms,
    terms::each_term,
};

/// How soon more occurrences of a term count no more.
const K1: f32 = 1.2;
/// How much a passage's length counts against it: 0 not at all, 1 in full.
const B: f32 = 0.75;
/// What a pair of neighbours adds, as a share of the lighter one's weight.
const NEIGHBOURS: f32 = 0.5;
/// What a synonym counts, as a share of its own weight, and as a share of the term's in coverage.
const SYNONYMS: f32 = 0.4;
/// Synonyms of a question that are looked for.
const SYNONYMS_MAX: usize = 64;

/// A question's terms and their weights.
#[derive(Debug, Default)]
pub(super) struct Question {
    /// The different terms, in the question's order.
    asked: Vec<Asked>,
    /// Their numbers; none for a term that no passage holds.
    numbers: Vec<Option<TermNumber>>,
    /// What is looked for, each once: the terms that some passage holds, and their synonyms.
    terms: Vec<(TermNumber, f32)>,
    /// The weights of all terms of the question, of those too that are left out because there are too many.
    total_weight: f32,
}

/// A term as it was asked for.
#[derive(Debug)]
struct Asked {
    number: Option<TermNumber>,
    weight: f32,
    others: &'static [String],
    synonyms: Vec<TermNumber>,
}

impl Question {
    /// Reads a question, within its bounds.
    pub(super) fn new(text: &str, postings: &Postings, passages: usize) -> Self {
        let weight = |term| inverse_frequency(postings.of(term).len(), passages);
        let mut different = HashSet::new();
        let mut question = Self::default();
        each_term(&text[..text.floor_char_boundary(QUESTION_BYTES_MAX)], &mut |term| {
            if different.insert(term.to_owned()) {
                let number = postings.find(term);
                let weight = number.map_or_else(|| inverse_frequency(0, passages), weight);
                question.asked.push(Asked { number, weight, others: synonyms(term), synonyms: Vec::new() });
            }
        });
        question.total_weight = question.asked.iter().map(|asked| asked.weight).sum();
        keep_rarest(&mut question.asked);
        question.numbers = question.asked.iter().map(|asked| asked.number).collect();
        let known = question.asked.iter().filter_map(|asked| Some((asked.number?, asked.weight)));
        question.terms = known.collect();
        let most = question.terms.len() + SYNONYMS_MAX;
        for asked in &mut question.asked {
            asked.synonyms = asked.others.iter().filter_map(|other| postings.find(other)).collect();
            for term in &asked.synonyms {
                if question.terms.len() < most && question.terms.iter().all(|(other, _)| other != term) {
                    question.terms.push((*term, SYNONYMS * weight(*term)));
                }
            }
        }
        question
    }

    /// What to look for, with weights.
    pub(super) fn terms(&self) -> &[(TermNumber, f32)] {
        &self.terms
    }

    /// The share of the question's weight that a passage of these terms holds, from 0 to 1.
    pub(super) fn coverage(&self, passage: &[TermNumber]) -> f32 {
        let share = |asked: &Asked| {
            if asked.number.is_some_and(|term| passage.contains(&term)) {
                1.0
            } else if asked.synonyms.iter().any(|term| passage.contains(term)) {
                SYNONYMS
            } else {
                0.0
            }
        };
        let held: f32 = self.asked.iter().map(|asked| share(asked) * asked.weight).sum();
        held / self.total_weight.max(f32::MIN_POSITIVE)
    }

    /// What the order of a passage's terms adds to its score.
    pub(super) fn neighbours(&self, passage: &[TermNumber]) -> f32 {
        let found = near(&self.numbers, passage);
        let pairs = self.asked.windows(2).zip(found).filter(|(_, near)| *near);
        pairs.map(|(pair, _)| NEIGHBOURS * pair[0].weight.min(pair[1].weight)).sum()
    }
}

/// What one term adds to a passage's score.
pub(super) fn term_score(weight: f32, frequency: u32, length: u32, average_length: f32) -> f32 {
    let frequency = frequency as f32;
    let relative_length = length as f32 / average_length;
    weight * frequency * (K1 + 1.0) / (frequency + K1 * (1.0 - B + B * relative_length))
}

/// The weight of a term that so many of the passages hold.
fn inverse_frequency(holding: usize, passages: usize) -> f32 {
    let (holding, passages) = (holding as f32, passages as f32);
    (1.0 + (passages - holding + 0.5) / (holding + 0.5)).ln()
}

/// Leaves the terms of the greatest weight that some passage holds, in the order in which they were.
fn keep_rarest(asked: &mut Vec<Asked>) {
    if asked.len() <= QUESTION_TERMS_MAX {
        return;
    }
    asked.retain(|asked| asked.number.is_some());
    let mut weights: Vec<f32> = asked.iter().map(|asked| asked.weight).collect();
    weights.sort_unstable_by(|left, right| right.total_cmp(left));
    let least = weights.get(QUESTION_TERMS_MAX - 1).copied().unwrap_or(0.0);
    asked.retain(|asked| asked.weight >= least);
    asked.truncate(QUESTION_TERMS_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_counts_more_when_it_is_rare_frequent_or_in_a_short_passage() {
        assert!(inverse_frequency(1, 100) > inverse_frequency(50, 100));
        assert!(inverse_frequency(100, 100) > 0.0);
        assert!(term_score(1.0, 2, 100, 100.0) > term_score(1.0, 1, 100, 100.0));
        assert!(term_score(1.0, 1, 50, 100.0) > term_score(1.0, 1, 100, 100.0));
    }

    #[test]
    fn the_formula_is_that_of_the_paper() {
        // tf 3, length 120 of an average of 100: 3 * 2.2 / (3 + 1.2 * (0.25 + 0.75 * 1.2)).
        assert!((term_score(1.0, 3, 120, 100.0) - 6.6 / 4.38).abs() < 1e-6);
        assert!((inverse_frequency(3, 10) - (1.0_f32 + 7.5 / 3.5).ln()).abs() < 1e-6);
    }

    #[test]
    fn of_a_long_question_the_rarest_terms_are_kept_in_order() {
        let term = |number: u32| Asked {
            number: Some(number),
            weight: (number % 50) as f32,
            others: &[],
            synonyms: Vec::new(),
        };
        let mut terms: Vec<Asked> = (0..100).map(term).collect();
        keep_rarest(&mut terms);
        assert_eq!(terms.len(), QUESTION_TERMS_MAX);
        assert!(terms.is_sorted_by_key(|asked| asked.number));
        assert!(terms.iter().all(|asked| asked.weight >= 34.0));
    }
}
