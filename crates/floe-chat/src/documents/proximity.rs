//! Whether terms that stand side by side in a question stand near each other in a passage.

use super::{limits::QUESTION_TERMS_MAX, postings::TermNumber};

/// Terms between which a passage's neighbours are looked for.
const NEAR_TERMS: usize = 4;

/// For each two neighbours of `question`, whether the passage has them within a few terms of each other, in either
/// order: the answers are in the question's order, one less than it has terms. None stands for a term that no passage has.
pub(super) fn near(question: &[Option<TermNumber>], passage: &[TermNumber]) -> [bool; QUESTION_TERMS_MAX] {
    let mut found = [false; QUESTION_TERMS_MAX];
    let mut last_at: [Option<usize>; QUESTION_TERMS_MAX] = [None; QUESTION_TERMS_MAX];
    let question = &question[..question.len().min(QUESTION_TERMS_MAX)];
    for (at, term) in passage.iter().enumerate() {
        let Some(place) = question.iter().position(|asked| *asked == Some(*term)) else { continue };
        let is_near = |other: usize| last_at[other].is_some_and(|before| at - before <= NEAR_TERMS);
        if place > 0 && is_near(place - 1) {
            found[place - 1] = true;
        }
        if place + 1 < question.len() && is_near(place + 1) {
            found[place] = true;
        }
        last_at[place] = Some(at);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_found_in_either_order_and_not_from_afar() {
        let found = near(&[Some(1), Some(2), None, Some(3), Some(4)], &[2, 9, 1, 9, 9, 9, 9, 9, 3, 4]);
        assert_eq!(found[..4], [true, false, false, true]);
    }
}
