//! The passages of all documents with their terms, and which of them fit a question by BM25.

use std::sync::Arc;

use super::{
    limits::HEADING_BYTES_MAX,
    passages::Passage,
    postings::{Posting, Postings, TermNumber},
    ranking::{Question, term_score},
    terms::each_term,
};

/// How often a term in a document's title counts in each of its passages.
const TITLE_WEIGHT: u32 = 1;
/// How often a term in the headings above a passage counts.
const SECTION_WEIGHT: u32 = 2;

/// A passage and its terms.
#[derive(Debug)]
pub(super) struct Entry {
    pub passage: Arc<Passage>,
    /// The terms of the title, of the headings and of the text, in order.
    pub terms: Box<[TermNumber]>,
    /// Its place in the list of each term, by term: so that it is taken out without a search through long lists.
    places: Box<[(TermNumber, u32)]>,
}

/// All passages, by slot. The slot of a passage that was removed is used again.
#[derive(Debug, Default)]
pub(super) struct Entries {
    slots: Vec<Option<Entry>>,
    /// The passages' lengths in weighted terms; beside the slots because scoring reads nothing else of them.
    lengths: Vec<u32>,
    free: Vec<u32>,
    postings: Postings,
    /// The sum of all lengths.
    length: u64,
}

impl Entries {
    /// How many passages there are.
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The passage of a slot.
    pub(super) fn passage(&self, slot: u32) -> Option<&Arc<Passage>> {
        Some(&self.slots.get(slot as usize)?.as_ref()?.passage)
    }

    /// The passages by term.
    pub(super) fn postings(&self) -> &Postings {
        &self.postings
    }

    /// The length of all passages, in weighted terms.
    #[cfg(test)]
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Takes a passage in, and answers its slot.
    pub(super) fn put(&mut self, passage: Passage) -> u32 {
        let mut terms = Vec::new();
        let mut weighted = Vec::new();
        let title = &passage.title[..passage.title.floor_char_boundary(HEADING_BYTES_MAX)];
        for (text, weight) in [(title, TITLE_WEIGHT), (&passage.section, SECTION_WEIGHT), (&passage.text, 1)]
        {
            each_term(text, &mut |term| {
                let number = self.postings.number(term);
                terms.push(number);
                weighted.push((number, weight));
            });
        }
        let length: u32 = weighted.iter().map(|(_, weight)| weight).sum();
        let slot = self.take_slot(length);
        weighted.sort_unstable();
        let same = weighted.chunk_by(|left, right| left.0 == right.0);
        let places = same.map(|same| {
            let frequency = same.iter().map(|(_, weight)| weight).sum();
            (same[0].0, self.postings.add(same[0].0, Posting { slot, frequency }))
        });
        let places = places.collect();
        self.slots[slot as usize] = Some(Entry { passage: Arc::new(passage), terms: terms.into(), places });
        slot
    }

    /// Forgets the passage of a slot.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(entry) = self.slots[slot as usize].take() else { return };
        for (term, place) in entry.places {
            let moved =
                self.postings.remove(term, place).and_then(|moved| self.slots[moved as usize].as_mut());
            if let Some(moved) = moved
                && let Ok(at) = moved.places.binary_search_by_key(&term, |(term, _)| *term)
            {
                moved.places[at].1 = place;
            }
        }
        self.length -= u64::from(std::mem::take(&mut self.lengths[slot as usize]));
        self.free.push(slot);
    }

    /// The best passages by BM25 with their scores, in no order; `limit` at most.
    pub(super) fn candidates(&self, question: &Question, limit: usize) -> Vec<(&Entry, f32)> {
        let average_length = self.length as f32 / self.count().max(1) as f32;
        let mut scores = vec![0.0_f32; self.slots.len()];
        for (term, weight) in question.terms() {
            for posting in self.postings.of(*term) {
                let slot = posting.slot as usize;
                scores[slot] += term_score(*weight, posting.frequency, self.lengths[slot], average_length);
            }
        }
        let mut found: Vec<(usize, f32)> =
            scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect();
        if found.len() > limit {
            // Which of several equal ones is a candidate must not depend on the slots they happen to have.
            found.select_nth_unstable_by(limit, |left, right| {
                right.1.total_cmp(&left.1).then_with(|| self.place(left.0).cmp(&self.place(right.0)))
            });
            found.truncate(limit);
        }
        found.into_iter().filter_map(|(slot, score)| Some((self.slots[slot].as_ref()?, score))).collect()
    }

    /// What orders passages of equal scores: their document and number.
    fn place(&self, slot: usize) -> Option<(&str, u32)> {
        self.slots[slot].as_ref().map(|entry| (entry.passage.document.as_ref(), entry.passage.number))
    }

    /// An empty slot, for a passage of that length.
    fn take_slot(&mut self, length: u32) -> u32 {
        self.length += u64::from(length);
        if let Some(slot) = self.free.pop() {
            self.lengths[slot as usize] = length;
            return slot;
        }
        self.slots.push(None);
        self.lengths.push(length);
        u32::try_from(self.slots.len() - 1).expect("fewer passages than memory can hold")
    }
}
