//! The history checker is tested before anything is tested with it: it finds every planted bug under its own name, and
//! is silent on what a correct log does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fake;

use fake::{Bug, run};
use floe_testkit::history::{Kind, Value, check};

const CORRECT_HISTORIES: u64 = 2_000;
const SEEDS_PER_BUG: u64 = 40;

#[test]
fn a_value_comes_back_only_as_it_was_sent() {
    let value = Value { process: 7, counter: 300 };
    for length in [0, 16, 17, 100] {
        let bytes = value.encode(length);
        assert_eq!(bytes.len(), length.max(16));
        assert_eq!(Value::decode(&bytes), Some(value));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Value::decode(&flipped), None, "bit {bit}");
        }
    }
    assert_eq!(Value::decode(b"short"), None);
}

#[test]
fn nothing_is_found_in_correct_histories() {
    let mut operations = 0;
    for seed in 0..CORRECT_HISTORIES {
        let (history, last) = run(seed, None);
        let report = check(&history, &last);
        assert!(report.is_clean(), "seed {seed}:\n{report}");
        operations += history.len();
    }
    println!("{CORRECT_HISTORIES} correct histories, {operations} operations: nothing found");
}

#[test]
fn every_planted_bug_is_found_under_its_name() {
    for (bug, kinds) in PLANTED {
        let mut found = 0;
        let mut planted = 0;
        for seed in 0..SEEDS_PER_BUG {
            let (history, last) = run(seed, Some(bug));
            let Some(last) = last.planted() else { continue };
            planted += 1;
            let report = check(&history, last);
            found += u64::from(kinds.iter().any(|kind| report.has(*kind)));
        }
        println!("{bug:?}: {kinds:?} in {found} of {planted}");
        assert!(planted >= SEEDS_PER_BUG / 4, "{bug:?} was planted in {planted} histories only");
        assert_eq!(found, planted, "{bug:?}");
    }
}

const PLANTED: [(Bug, &[Kind]); 19] = [
    // which of the two depends on whether more was stored behind it
    (Bug::AckBeforeStore, &[Kind::Unseen, Kind::LostWrite]),
    (Bug::LoseLastAcked, &[Kind::Unseen, Kind::LostWrite]),
    (Bug::LoseOneFromTheMiddle, &[Kind::LostWrite]),
    (Bug::LeaveAHole, &[Kind::OffsetGap, Kind::Vanished]),
    (Bug::SwapTwo, &[Kind::SendNonmonotonic]),
    (Bug::RepeatABatch, &[Kind::Duplicate]),
    (Bug::ReuseOffsets, &[Kind::DivergentOffset]),
    (Bug::ServeUnsynced, &[Kind::Vanished, Kind::DivergentOffset]),
    (Bug::HalfABatch, &[Kind::TornBatch]),
    (Bug::FlipAByte, &[Kind::WrongBytes]),
    (Bug::StoreFailed, &[Kind::Aborted]),
    (Bug::Invent, &[Kind::Invented]),
    (Bug::SkipInAnAnswer, &[Kind::InternalSkip]),
    (Bug::RepeatInAnAnswer, &[Kind::InternalNonmonotonic]),
    (Bug::LeadPast, &[Kind::ExternalSkip]),
    (Bug::LeadBack, &[Kind::ExternalNonmonotonic]),
    (Bug::CommitGoesBack, &[Kind::CommitRegress]),
    (Bug::DeliverTwice, &[Kind::DeliveredTwice]),
    (Bug::LiveDropsOne, &[Kind::LiveGap]),
];
