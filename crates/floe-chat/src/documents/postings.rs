//! Which passages hold which terms.

use std::{collections::HashMap, sync::Arc};

/// A term's number. It is given to another term once no passage holds this one any more.
pub(super) type TermNumber = u32;

/// A passage that holds a term.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posting {
    /// The passage's slot.
    pub slot: u32,
    /// How often the passage holds the term, by the weights of where it stands.
    pub frequency: u32,
}

/// The passages of every term, in no order. Terms that no passage holds are not kept.
#[derive(Debug, Default)]
pub(super) struct Postings {
    numbers: HashMap<Arc<str>, TermNumber>,
    lists: Vec<List>,
    free: Vec<TermNumber>,
}

#[derive(Debug)]
struct List {
    term: Arc<str>,
    postings: Vec<Posting>,
}

impl Postings {
    /// The number of a term that some passage holds.
    pub(super) fn find(&self, term: &str) -> Option<TermNumber> {
        self.numbers.get(term).copied()
    }

    /// The number of a term, a new one where nobody has it yet. Who asks adds a passage to it.
    pub(super) fn number(&mut self, term: &str) -> TermNumber {
        if let Some(number) = self.numbers.get(term) {
            return *number;
        }
        let term: Arc<str> = term.into();
        let list = List { term: Arc::clone(&term), postings: Vec::new() };
        let number = if let Some(number) = self.free.pop() {
            self.lists[number as usize] = list;
            number
        } else {
            self.lists.push(list);
            TermNumber::try_from(self.lists.len() - 1).expect("fewer terms than memory can hold")
        };
        self.numbers.insert(term, number);
        number
    }

    /// Notes that a passage holds a term, and answers the posting's place in the term's list.
    pub(super) fn add(&mut self, term: TermNumber, posting: Posting) -> u32 {
        let list = &mut self.lists[term as usize].postings;
        list.push(posting);
        u32::try_from(list.len() - 1).expect("fewer postings than there are slots")
    }

    /// Takes a posting out of a term's list, and forgets the term when it was the last one. The list's last posting takes
    /// the place: the answer is the slot of its passage.
    pub(super) fn remove(&mut self, term: TermNumber, place: u32) -> Option<u32> {
        let list = &mut self.lists[term as usize];
        list.postings.swap_remove(place as usize);
        if list.postings.is_empty() {
            list.postings = Vec::new();
            self.numbers.remove(&list.term);
            self.free.push(term);
        }
        list.postings.get(place as usize).map(|moved| moved.slot)
    }

    /// The passages that hold a term.
    pub(super) fn of(&self, term: TermNumber) -> &[Posting] {
        &self.lists[term as usize].postings
    }

    /// How many terms there are.
    #[cfg(test)]
    pub(super) fn terms(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_forgotten_with_its_last_passage_and_its_number_used_again() {
        let mut postings = Postings::default();
        let disk = postings.number("disk");
        assert_eq!([4, 2, 7].map(|slot| postings.add(disk, Posting { slot, frequency: 1 })), [0, 1, 2]);
        assert_eq!(postings.remove(disk, 0), Some(7));
        assert_eq!(postings.of(disk).iter().map(|posting| posting.slot).collect::<Vec<_>>(), [7, 2]);
        assert_eq!(postings.remove(disk, 1), None);
        assert_eq!(postings.find("disk"), Some(disk));
        postings.remove(disk, 0);
        assert_eq!(postings.find("disk"), None);
        assert_eq!(postings.terms(), 0);
        assert_eq!(postings.number("log"), disk);
    }
}
