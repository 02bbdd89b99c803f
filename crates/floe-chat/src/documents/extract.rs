//! An answer made of quotations, for when there is no language model.

use super::{
    index::Hit,
    limits::{ANSWER_COVERAGE_MIN, ANSWER_QUOTES_MAX},
};

/// The share of the best passage's score that another one needs to be quoted beside it.
const BESIDE_THE_BEST: f32 = 0.6;

/// An answer from the best passages: one to three of their `quotes` (see [`quote()`](super::quote()), one for each of `hits`), a
/// line each, with references `[1]`, `[2]`, … to the places of their passages in `hits`. None where no passage holds enough of the question ([`ANSWER_COVERAGE_MIN`]): an answer
/// to something else would be worse than none.
#[must_use]
pub fn extract(hits: &[Hit], quotes: &[String]) -> Option<String> {
    let best = hits.first()?.score;
    let mut told: Vec<(usize, &String)> = Vec::new();
    for (place, (hit, quoted)) in (1..).zip(hits.iter().zip(quotes)) {
        if hit.coverage < ANSWER_COVERAGE_MIN || hit.score < best * BESIDE_THE_BEST {
            continue;
        }
        if !quoted.is_empty() && told.iter().all(|(_, other)| *other != quoted) {
            told.push((place, quoted));
        }
        if told.len() == ANSWER_QUOTES_MAX {
            break;
        }
    }
    let lines: Vec<String> = told.into_iter().map(|(place, quoted)| format!("{quoted} [{place}]")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{document::Document, index::Index, quote::quote},
        *,
    };

    fn answer(question: &str) -> Option<String> {
        let mut index = Index::default();
        for (id, content) in [
            (
                "retention",
                "# Retention\nTopics have settings. Records are kept for seven days unless told otherwise.",
            ),
            ("space", "# Disk\nA full disk refuses records with 507."),
            ("names", "# Names\nCapital letters are allowed in the names of topics."),
        ] {
            index.put(Document { id: id.into(), title: id.into(), content: content.into() });
        }
        let hits = index.search(question, 5);
        let quotes: Vec<_> = hits.iter().map(|hit| quote(question, &hit.passage.text)).collect();
        extract(&hits, &quotes)
    }

    #[test]
    fn an_answer_quotes_with_references() {
        let expected = "Records are kept for seven days unless told otherwise. [1]";
        assert_eq!(answer("How many days are records kept?").as_deref(), Some(expected));
    }

    #[test]
    fn a_question_about_something_else_has_no_answer() {
        assert_eq!(answer("What is the capital of Peru?"), None);
        assert_eq!(answer("Who won the world cup?"), None);
        assert_eq!(answer("?"), None);
    }
}
