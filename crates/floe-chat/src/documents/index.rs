//! The index of all documents.
//!
//! Our own instead of the crate `bm25` (2.3), which was looked at first: there the average length is fixed when the engine
//! is built, so that scores drift while documents come and go; terms are hashed to 32 bits and may collide; a score looks
//! for each term through all of a passage's; passages of equal scores come in an order that differs from run to run; and
//! there are no fields. Here the average is always that of what is held, putting and removing touch the terms of the
//! document concerned only, headings have weights, and equal scores are ordered by document and number.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    document::Document,
    entries::Entries,
    passages::{Passage, passages},
    ranking::Question,
};

/// The best passages by BM25, whose scores are then corrected; at least as many as are asked for.
const CANDIDATES: usize = 50;

/// A passage that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The passage.
    pub passage: Arc<Passage>,
    /// How well it fits. Scores of one search can be compared with each other only.
    pub score: f32,
    /// The share of the question, by the weight of its terms, that the passage and its headings hold: from 0 to 1.
    pub coverage: f32,
}

/// Documents, and the terms of their passages.
#[derive(Debug, Default)]
pub struct Index {
    documents: BTreeMap<String, Held>,
    entries: Entries,
    bytes: usize,
}

/// A document and the slots of its passages.
#[derive(Debug)]
struct Held {
    document: Arc<Document>,
    slots: Vec<u32>,
}

impl Index {
    /// Takes a document in, in the place of one with the same id.
    pub fn put(&mut self, document: Document) {
        self.remove(&document.id);
        let slots = passages(&document).into_iter().map(|passage| self.entries.put(passage)).collect();
        self.bytes += document.bytes();
        self.documents.insert(document.id.clone(), Held { document: Arc::new(document), slots });
    }

    /// Forgets a document. Says whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let Some(held) = self.documents.remove(id) else { return false };
        self.bytes -= held.document.bytes();
        for slot in held.slots {
            self.entries.remove(slot);
        }
        true
    }

    /// The passages that fit a question best, the best one first; `limit` at most. A question without a term that some
    /// passage holds finds none.
    #[must_use]
    pub fn search(&self, question: &str, limit: usize) -> Vec<Hit> {
        let question = Question::new(question, self.entries.postings(), self.entries.count());
        let candidates = self.entries.candidates(&question, limit.max(CANDIDATES)).into_iter();
        let mut hits: Vec<Hit> = candidates
            .map(|(entry, score)| Hit {
                passage: Arc::clone(&entry.passage),
                score: score + question.neighbours(&entry.terms),
                coverage: question.coverage(&entry.terms),
            })
            .collect();
        hits.sort_by(|left, right| {
            let [first, second] = [&left.passage, &right.passage];
            let by_place = || (&first.document, first.number).cmp(&(&second.document, second.number));
            right.score.total_cmp(&left.score).then_with(by_place)
        });
        hits.truncate(limit);
        hits
    }

    /// All documents, by id.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = &Arc<Document>> {
        self.documents.values().map(|held| &held.document)
    }

    /// A document.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Document>> {
        self.documents.get(id).map(|held| &held.document)
    }

    /// The passages of a document, in their order; none if there is no such document.
    pub fn passages_of(&self, id: &str) -> impl Iterator<Item = &Arc<Passage>> {
        let slots = self.documents.get(id).map(|held| held.slots.as_slice()).unwrap_or_default();
        slots.iter().filter_map(|slot| self.entries.passage(*slot))
    }

    /// Bytes of all documents as they were put, ids and titles included. With the index over them they take about five
    /// times as much memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str, title: &str, content: &str) -> Document {
        Document { id: id.into(), title: title.into(), content: content.into() }
    }

    fn index(documents: &[(&str, &str)]) -> Index {
        let mut index = Index::default();
        for (id, content) in documents {
            index.put(document(id, id, content));
        }
        index
    }

    fn found(index: &Index, question: &str) -> Vec<String> {
        index
            .search(question, 5)
            .iter()
            .map(|hit| format!("{}/{}", hit.passage.document, hit.passage.number))
            .collect()
    }

    #[test]
    fn a_question_finds_the_passage_that_answers_it_first() {
        let index = index(&[
            (
                "retention",
                "# Retention\nRecords are kept for seven days.\n# Space\nA full disk refuses records.",
            ),
            ("groups", "A group acknowledges what it has processed."),
        ]);
        assert_eq!(found(&index, "For how long are records kept?")[0], "retention/0");
        assert_eq!(found(&index, "disk is full"), ["retention/1"]);
        assert_eq!(found(&index, "acknowledging")[0], "groups/0");
    }

    #[test]
    fn a_question_without_a_known_term_finds_nothing() {
        let index = index(&[("a", "Records are kept.")]);
        assert!(index.search("Who is it?", 5).is_empty());
        assert!(index.search("penguins", 5).is_empty());
        assert!(index.search("", 5).is_empty());
        assert!(Index::default().search("records", 5).is_empty());
    }

    #[test]
    fn a_heading_counts_more_than_a_mention() {
        let body = "Something else is said here, and then more of it.";
        let index = index(&[("b", &format!("# Backups\n{body}")), ("a", &format!("{body} Of backups too."))]);
        assert_eq!(found(&index, "backups")[0], "b/0");
    }

    #[test]
    fn neighbours_in_the_question_are_better_as_neighbours() {
        let index = index(&[
            ("a", "The dead wait until someone far away writes home again this long year with a letter."),
            ("b", "The long year until someone far away writes home again with a wait, a dead letter."),
        ]);
        assert_eq!(found(&index, "dead letter")[0], "b/0");
    }

    #[test]
    fn a_newer_document_takes_the_place_of_the_older() {
        let mut index = index(&[("a", "It speaks of apples."), ("b", "It speaks of pears.")]);
        index.put(document("a", "a", "It speaks of cherries."));
        assert!(index.search("apples", 5).is_empty());
        assert_eq!(found(&index, "cherries"), ["a/0"]);
        assert_eq!(index.get("a").map(|held| held.content.as_str()), Some("It speaks of cherries."));
        assert_eq!(index.documents().map(|held| held.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn an_index_that_documents_left_is_as_if_they_had_never_come() {
        let mut changed =
            index(&[("a", "apples and pears"), ("x", &"apples ".repeat(500)), ("b", "pears, pears")]);
        assert!(changed.remove("x"));
        assert!(!changed.remove("x"));
        changed.put(document("c", "c", "cherries and apples"));
        let fresh = index(&[("a", "apples and pears"), ("b", "pears, pears"), ("c", "cherries and apples")]);
        assert_eq!((changed.bytes(), changed.entries.count()), (fresh.bytes(), fresh.entries.count()));
        let sums = |index: &Index| (index.entries.length(), index.entries.postings().terms());
        assert_eq!(sums(&changed), sums(&fresh));
        for question in ["apples", "pears and cherries", "x"] {
            let scores = |index: &Index| -> Vec<(String, u32, u32)> {
                let hits = index.search(question, 9).into_iter();
                hits.map(|hit| (hit.passage.document.to_string(), hit.passage.number, hit.score.to_bits()))
                    .collect()
            };
            assert_eq!(scores(&changed), scores(&fresh));
        }
        for id in ["a", "b", "c"] {
            changed.remove(id);
        }
        assert_eq!((changed.bytes(), changed.entries.count(), sums(&changed)), (0, 0, (0, 0)));
    }

    #[test]
    fn equal_scores_are_in_the_order_of_documents() {
        let many: Vec<String> = (0..120).rev().map(|number| format!("{number:03}")).collect();
        let documents: Vec<(&str, &str)> = many.iter().map(|id| (id.as_str(), "the same text")).collect();
        assert_eq!(found(&index(&documents), "same text"), ["000/0", "001/0", "002/0", "003/0", "004/0"]);
    }

    #[test]
    fn coverage_says_how_much_of_the_question_a_passage_holds() {
        let index = index(&[("a", "The capital letters of a name."), ("b", "Names of topics.")]);
        let coverage = |question: &str| index.search(question, 1)[0].coverage;
        assert!(coverage("names of topics") > 0.99);
        assert!(coverage("What is the capital of Peru?") < 0.5);
    }

    #[test]
    fn a_question_of_any_length_is_answered() {
        let index = index(&[("a", "Records are kept.")]);
        let long = (0..1_000_000).map(|number| format!("w{number} ")).collect::<String>();
        assert_eq!(found(&index, &format!("records {long}")), ["a/0"]);
    }
}
