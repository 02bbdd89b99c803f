//! Finding and reading batches: over segments, from memory and from disk, before and after a new start.

use floe_journal::{BatchRef, JournalConfig, check::Summary};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::rig::{Draft, Rig, SEGMENT_BYTES, config, open, open_with, random_body, walk};

/// Several segments of three partitions, the older ones sealed.
fn filled(seed: u64) -> Rig {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new(seed);
    while rig.journal().written() < 6 * u64::from(SEGMENT_BYTES) {
        rig.send_random(&mut random, 3, 2_500).unwrap();
        rig.sync().unwrap();
        rig.work();
    }
    rig
}

fn verify_look_ups(rig: &Rig) {
    for partition in 1..=3 {
        let sent = rig.model.kept(partition);
        assert_eq!(
            rig.journal().range(partition),
            Some((sent[0].base_offset, sent[sent.len() - 1].last_offset))
        );
        for (at, batch) in sent.iter().enumerate() {
            for offset in batch.base_offset..=batch.last_offset {
                let found = rig.journal().locate(partition, offset, 0).unwrap();
                assert_eq!((found.len(), found[0].base_offset()), (1, batch.base_offset));
            }
            let behind = sent.get(at + 1).map_or(batch.origin + 1, |next| next.origin);
            for (origin, expected) in [(batch.origin, Some(*batch)), (behind, sent.get(at + 1).copied())] {
                let found = rig.journal().locate_origin(partition, origin, 0).unwrap();
                assert_eq!(
                    found.first().map(BatchRef::base_offset),
                    expected.map(|batch| batch.base_offset),
                    "origin {origin}"
                );
            }
            let found = rig.journal().locate_time(partition, 0, batch.max_timestamp).unwrap().unwrap();
            assert_eq!(found.base_offset(), batch.base_offset);
            let found = rig.journal().locate_time(partition, batch.base_offset, i64::MIN).unwrap().unwrap();
            assert_eq!(found.base_offset(), batch.base_offset);
        }
        let last = sent[sent.len() - 1];
        assert!(rig.journal().locate(partition, last.last_offset + 1, 10).unwrap().is_empty());
        assert!(rig.journal().locate_time(partition, 0, last.max_timestamp + 1).unwrap().is_none());
    }
    assert!(rig.journal().locate(99, 0, 10).unwrap().is_empty());
    assert_eq!(rig.journal().range(99), None);
}

#[test]
fn batches_are_found_by_offset_origin_and_time() {
    let mut rig = filled(1);
    rig.verify_live();
    verify_look_ups(&rig);
    let before: Vec<_> = (1..=3).map(|partition| rig.journal().bytes_from(partition, 0)).collect();
    rig.restart();
    verify_look_ups(&rig);
    let after: Vec<_> = (1..=3).map(|partition| rig.journal().bytes_from(partition, 0)).collect();
    assert_eq!(before, after);
}

#[test]
fn a_look_up_answers_as_much_as_fits() {
    let rig = filled(2);
    for most in [0, 1_000, 10_000, 1_000_000] {
        let found = rig.journal().locate(1, 0, most).unwrap();
        let bytes: usize = found.iter().map(BatchRef::length).sum();
        assert!(found.len() == 1 || bytes <= most);
    }
}

#[test]
fn memory_and_disk_give_the_same_bytes() {
    let rig = filled(3);
    let uncached = JournalConfig { tail_cache_bytes: 0, ..config() };
    let (from_disk, _) = open_with(&rig.storage, &uncached).unwrap();
    let mut cached = 0;
    for partition in 1..=3 {
        let pairs = walk(rig.journal(), partition, 0).into_iter().zip(walk(&from_disk.journal, partition, 0));
        for (one, other) in pairs {
            cached += usize::from(rig.journal().cached(&one).is_some());
            assert_eq!(from_disk.journal.cached(&other), None);
            assert_eq!(rig.journal().read(&one).unwrap(), from_disk.journal.read(&other).unwrap());
        }
    }
    assert!(cached > 0, "the newest batches are in memory");
}

#[test]
fn a_start_reads_footers_and_the_newest_snapshot_only() {
    let mut rig = filled(4);
    let (opened, replayed) = open(&rig.storage).unwrap();
    assert!(opened.report.sealed_segments >= 5, "{:?}", opened.report);
    assert!(opened.report.scanned < rig.model.frames.len() as u64 / 3);
    assert_eq!(replayed.in_snapshot, 0);
    rig.snapshot();
    rig.work();
    let (_, replayed) = open(&rig.storage).unwrap();
    assert_eq!((replayed.in_snapshot, replayed.behind.len()), (rig.model.states().len(), 0));
}

#[test]
fn a_clean_journal_checks_clean() {
    let rig = filled(5);
    let mut entries = 0;
    let storage = rig.storage.clone_durable();
    let before = storage.snapshot();
    let summary = floe_journal::check::check(&storage, &mut |_| entries += 1).unwrap().unwrap();
    let batches = rig.model.frames.iter().map(|frame| frame.batches.len() as u64).sum::<u64>();
    assert_eq!(
        Summary { durable_through: 0, ..summary.clone() },
        Summary {
            segments: summary.segments,
            sealed: summary.sealed,
            frames: rig.model.frames.len() as u64,
            batches,
            batch_bytes: summary.batch_bytes,
            states: rig.model.states().len() as u64,
            end: rig.journal().written(),
            durable_through: 0,
            damage: Vec::new(),
        }
    );
    assert!(entries > batches);
    assert!(storage.snapshot() == before, "a check changes nothing");
    let empty = floe_testkit::faulty::FaultyStorage::new(0);
    assert_eq!(floe_journal::check::check(&empty, &mut |_| {}).unwrap(), None);
}

#[test]
fn a_deleted_partition_is_forgotten_and_its_segments_stay_sound() {
    let mut random = StdRng::seed_from_u64(6);
    let mut rig = Rig::new(6);
    for _ in 0..10 {
        rig.send_random(&mut random, 3, 2_500).unwrap();
    }
    rig.journal().forget(2);
    assert_eq!(rig.journal().range(2), None);
    while rig.journal().written() < 3 * u64::from(SEGMENT_BYTES) {
        rig.send_batch(1, 1, random_body(&mut random, 2_500)).unwrap();
        rig.sync().unwrap();
        rig.work();
    }
    assert_eq!(rig.journal().range(2), None, "sealing doesn't bring it back");
    let summary = floe_journal::check::check(&rig.storage, &mut |_| {}).unwrap().unwrap();
    assert_eq!(summary.damage, []);
}

#[test]
fn too_large_frames_are_refused_and_harm_nothing() {
    let mut rig = Rig::new(7);
    let limit = usize::try_from(rig.opened.appender.max_frame_bytes()).unwrap();
    assert!(matches!(rig.send_batch(1, 1, vec![1; limit]), Err(floe_journal::AppendError::TooLarge { .. })));
    rig.send_batch(1, 1, vec![1; limit - 64 - 48]).unwrap();
    rig.sync().unwrap();
    rig.verify_live();
}

#[test]
fn reserving_rolls_so_that_a_snapshot_can_be_taken_in_between() {
    let mut random = StdRng::seed_from_u64(8);
    let mut rig = Rig::new(8);
    let mut rolls = 0;
    for _ in 0..100 {
        let body = random_body(&mut random, 6_000);
        if rig.opened.appender.reserve(body.len() as u64 + 200, false).unwrap() {
            rolls += 1;
            rig.snapshot();
        }
        let mut draft = Draft::default();
        draft.batch(1, rig.model.next_offset(1), 1, body);
        draft.state(rig.state_body(&mut random)[..8].to_vec());
        assert!(!rig.send(draft, false).unwrap(), "the room was made before");
        if random.random_bool(0.5) {
            rig.sync().unwrap();
            rig.work();
        }
        let (opened, replayed) = open(&rig.storage.crash(rolls)).unwrap();
        rig.verify(&opened, &replayed);
    }
    assert!(rolls > 2);
}
