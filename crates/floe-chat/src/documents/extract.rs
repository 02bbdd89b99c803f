//! An answer made of quotations, for when there is no language model.

use super::{
    index::Hit,
    limits::{ANSWER_COVERAGE_MIN, ANSWER_QUOTES_MAX},
    quote::quote,
};

/// The share of the best passage's score that another one needs to be quoted beside it.
const BESIDE_THE_BEST: f32 = 0.6;

/// An answer from the best passages: one to three quotations, a line each, with references `[1]`, `[2]`, … to the places
/// of their passages in `hits`. None where no passage holds enough of the question ([`ANSWER_COVERAGE_MIN`]): an answer
/// to something else would be worse than none.
#[must_use]
pub fn extract(question: &str, hits: &[Hit]) -> Option<String> {
    let best = hits.first()?.score;
    let mut quotes: Vec<(usize, String)> = Vec::new();
    for (at, hit) in hits.iter().enumerate() {
        if hit.coverage < ANSWER_COVERAGE_MIN || hit.score < best * BESIDE_THE_BEST {
            continue;
        }
        let quoted = quote(question, &hit.passage.text);
        if !quoted.is_empty() && quotes.iter().all(|(_, other)| *other != quoted) {
            quotes.push((at + 1, quoted));
        }
        if quotes.len() == ANSWER_QUOTES_MAX {
            break;
        }
    }
    let lines: Vec<String> =
        quotes.into_iter().map(|(place, quoted)| format!("{quoted} [{place}]")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{document::Document, index::Index},
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
        extract(question, &index.search(question, 5))
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
