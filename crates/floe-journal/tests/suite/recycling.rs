//! Segments given up, used again, and never heard of again.

use floe_journal::{Opened, ReadError};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::rig::{Rig, SEGMENT_BYTES, open, random_body, walk};

/// Fills segments and gives back all but the last ones; files are renamed and used again on the way.
fn turn_over(rig: &mut Rig, random: &mut StdRng, segments: u64) {
    let until = rig.journal().written() + segments * u64::from(SEGMENT_BYTES);
    while rig.journal().written() < until {
        if rig.send_random(random, 2, 2_500).unwrap() {
            rig.snapshot();
        }
        rig.sync().unwrap();
        rig.work();
        for partition in 1..=2 {
            let start = rig.model.next_offset(partition) - 20;
            rig.model.starts.insert(partition, start.max(0));
        }
        rig.clean(random);
    }
}

#[test]
fn recycled_files_are_used_again_and_no_old_life_comes_back() {
    let mut states = 0;
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rig = Rig::new(seed);
        turn_over(&mut rig, &mut random, 8);
        let files = rig.storage.snapshot().into_keys().filter(|name| name.ends_with(".segment")).count();
        assert!(files <= 5, "{files} segments are left of more than 8");
        rig.verify_live();
        for _ in 0..30 {
            rig.send_random(&mut random, 2, 1_500).unwrap();
            if random.random_bool(0.3) {
                rig.sync().unwrap();
            }
            let (opened, replayed) = open(&rig.storage.crash(random.random())).unwrap();
            rig.verify(&opened, &replayed);
            let (opened, replayed) = open(&rig.storage.clone_durable()).unwrap();
            rig.verify(&opened, &replayed);
            states += 2;
        }
    }
    println!("{states} states with recycled segments");
}

#[test]
fn a_reader_of_a_recycled_segment_is_told_to_look_again() {
    let mut random = StdRng::seed_from_u64(1);
    let mut rig = Rig::new(1);
    for _ in 0..40 {
        rig.send_batch(1, 1, random_body(&mut random, 3_000)).unwrap();
        rig.sync().unwrap();
    }
    rig.snapshot();
    rig.work();
    rig.snapshot();
    rig.work();
    let held = walk(rig.journal(), 1, 0)[0].clone();
    rig.model.starts.insert(1, rig.model.next_offset(1));
    rig.retire(0);
    rig.work();
    for _ in 0..80 {
        rig.send_batch(1, 1, random_body(&mut random, 3_000)).unwrap();
        rig.sync().unwrap();
        rig.work();
    }
    assert!(matches!(rig.journal().read(&held), Err(ReadError::Gone)));
    assert!(rig.journal().damage().is_empty());
}

/// The segment is given up between the look into the index and the read of its footer.
#[test]
fn a_look_up_of_a_segment_that_goes_finds_what_is_left() {
    for by_time in [false, true] {
        let mut random = StdRng::seed_from_u64(3);
        let mut rig = Rig::new(3);
        while rig.journal().written() < 3 * u64::from(SEGMENT_BYTES) {
            rig.send_batch(1, 1, random_body(&mut random, 3_000)).unwrap();
            rig.sync().unwrap();
            rig.work();
        }
        let next = rig.journal().locate(1, 0, usize::MAX).unwrap().last().unwrap().last_offset() + 1;
        let (Opened { journal, mut keeper, .. }, _) = open(&rig.storage).unwrap();
        let recycled = journal.clone();
        rig.storage.before_next_read(move || {
            recycled.recycle(0);
            keeper.work().unwrap();
        });
        let found = if by_time {
            journal.locate_time(1, 0, 0).unwrap()
        } else {
            journal.locate(1, 0, 0).unwrap().into_iter().next()
        };
        assert_eq!(found.unwrap().base_offset(), next, "by time: {by_time}");
        assert!(journal.damage().is_empty());
    }
}

#[test]
fn moved_batches_keep_their_offsets_and_origins() {
    let mut random = StdRng::seed_from_u64(2);
    let mut rig = Rig::new(2);
    while rig.journal().written() < 4 * u64::from(SEGMENT_BYTES) {
        // partition 1 lives on, partition 2 dies early
        rig.send_random(&mut random, 2, 800).unwrap();
        rig.sync().unwrap();
        rig.work();
    }
    for _ in 0..2 {
        rig.snapshot();
        rig.work();
        rig.send_batch(1, 1, vec![1]).unwrap();
        rig.sync().unwrap();
    }
    rig.model.starts.insert(2, rig.model.next_offset(2));
    for _ in 0..3 {
        rig.clean(&mut random);
        rig.verify_live();
        rig.work();
        rig.verify_live();
        for partition in 1..=2 {
            for batch in rig.model.kept(partition) {
                let found = rig.journal().locate_origin(partition, batch.origin, 0).unwrap();
                assert_eq!(found[0].base_offset(), batch.base_offset);
                let found = rig.journal().locate_time(partition, 0, batch.max_timestamp).unwrap().unwrap();
                assert_eq!(found.base_offset() >= rig.model.start(partition), partition == 1);
            }
        }
        rig.restart();
    }
}
