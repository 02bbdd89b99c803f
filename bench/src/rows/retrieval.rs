//! E2: how often the right passage is found, and how fast, beside BM25 of another library.

use std::{
    fs::File,
    hint::black_box,
    io::{BufWriter, Write},
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::{Context, ensure};
use floe_chat::documents::{Document, Index};
use serde::Deserialize;
use serde_json::json;

use super::Plan;
use crate::{
    questions::{Question, SETS, documents, index, questions},
    report::{Line, median},
};

/// What the other side needs.
pub(super) const REQUIREMENTS: &str = "bench/bm25/requirements.txt";
const REFERENCE: &str = "bench/bm25/reference.py";
const LIMIT: usize = 5;
/// How often each question is asked for its time.
const REPETITIONS: usize = 100;

/// What the other side says.
#[derive(Debug, Deserialize)]
struct Reference {
    /// Questions whose passage was among the first five.
    found: usize,
    seconds_per_question: f64,
}

/// E2, for each set of questions.
pub(super) fn recall(plan: &Plan) -> anyhow::Result<Vec<Line>> {
    let root = Path::new("");
    let documents = documents(root)?;
    let index = index(&documents);
    let folder = plan.data()?;
    let passages = folder.path().join("passages.ndjson");
    let count = write_passages(&index, &documents, &passages)?;
    let mut lines = Vec::new();
    for set in SETS {
        let questions = questions(root, set)?;
        let found = questions.iter().filter(|question| is_found(&index, question)).count();
        let (mut ours, mut theirs, mut their_found) = (Vec::new(), Vec::new(), None);
        for _ in 0..plan.turns {
            ours.push(seconds_per_question(&index, &questions) * 1e6);
            if let Some(python) = &plan.bm25 {
                let reference = ask_reference(python, &passages, set)?;
                theirs.push(reference.seconds_per_question * 1e6);
                their_found = Some(reference.found);
            }
        }
        let recall = |found: usize| found as f64 / questions.len() as f64;
        let ratio = their_found.map(|other| found as f64 / other as f64);
        let other = their_found.map_or_else(
            || "–".to_owned(),
            |other| format!("rank_bm25 {:.3}; {:.0} µs a question", recall(other), median(theirs)),
        );
        lines.push(Line {
            row: "E2",
            what: format!(
                "recall@5 of {} questions ({set}) on {count} passages, one after the other",
                questions.len()
            ),
            floe: format!("{:.3}; {:.0} µs a question", recall(found), median(ours)),
            other,
            figure: ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}×")),
            bar: "1.0×",
            goal: "1.15×",
            met: ratio.map(|ratio| ratio >= 1.0),
        });
    }
    Ok(lines)
}

/// Whether the first passages have one that answers the question.
fn is_found(index: &Index, question: &Question) -> bool {
    index.search(&question.question, LIMIT).iter().any(|hit| question.is_answered_by(&hit.passage))
}

fn seconds_per_question(index: &Index, questions: &[Question]) -> f64 {
    let start = Instant::now();
    for _ in 0..REPETITIONS {
        for question in questions {
            black_box(index.search(&question.question, LIMIT));
        }
    }
    start.elapsed().as_secs_f64() / (REPETITIONS * questions.len()) as f64
}

/// Writes the index's passages down, each with its title and headings; answers how many there are.
fn write_passages(index: &Index, documents: &[Document], path: &Path) -> anyhow::Result<usize> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut count = 0;
    for passage in documents.iter().flat_map(|document| index.passages_of(&document.id)) {
        let text = format!("{}\n{}\n{}", passage.title, passage.section, passage.text);
        writeln!(file, "{}", json!({"document": &*passage.document, "text": text, "body": &*passage.text}))?;
        count += 1;
    }
    file.flush()?;
    Ok(count)
}

fn ask_reference(python: &Path, passages: &Path, set: &str) -> anyhow::Result<Reference> {
    let questions = Path::new("bench/questions").join(set);
    let output = Command::new(python).arg(REFERENCE).args([passages, &questions]).output()?;
    ensure!(output.status.success(), "{REFERENCE}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context(REFERENCE)
}
