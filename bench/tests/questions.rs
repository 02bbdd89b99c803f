//! The questions that retrieval is measured by still have their answers in the documents.

#[path = "../src/questions.rs"]
mod questions;

use std::{collections::HashSet, path::Path};

use questions::{SETS, documents, index, questions};

#[test]
fn every_question_is_answered_by_a_passage_of_its_document() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let index = index(&documents(&root).unwrap());
    let mut lost = Vec::new();
    for set in SETS {
        for question in questions(&root, set).unwrap() {
            let mut passages = index.passages_of(&question.document);
            if !passages.any(|passage| question.is_answered_by(passage)) {
                let (document, contains) = (&question.document, &question.contains);
                lost.push(format!("{set}: {document} no longer has in one passage: {contains}"));
            }
        }
    }
    assert!(lost.is_empty(), "bench/questions/README.md says what to do:\n{}", lost.join("\n"));
}

#[test]
fn no_question_is_asked_twice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut asked = HashSet::new();
    for set in SETS {
        for question in questions(&root, set).unwrap() {
            assert!(asked.insert(question.question.clone()), "{set}: {}", question.question);
        }
    }
}
