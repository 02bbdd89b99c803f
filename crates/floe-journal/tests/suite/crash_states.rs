//! Power cuts at any moment: acknowledged ⊆ stored ⊆ sent, in order, whole frames, no help needed.

use floe_testkit::faulty::{Choice, FaultyStorage};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::rig::{Rig, open};

/// Runs `body` for each seed on all the cores the test may use, and names the seed that failed.
fn for_seeds(seeds: std::ops::Range<u64>, body: impl Fn(u64) -> usize) {
    let mut states = 0;
    for seed in seeds.clone() {
        let seed_told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(seed)));
        match seed_told {
            Ok(count) => states += count,
            Err(panic) => {
                println!("failed with seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{states} states from {} seeds", seeds.end - seeds.start);
}

fn gate(seeds: u64) -> u64 {
    if std::env::var_os("FLOE_TORTURE").is_some() { seeds * 50 } else { seeds }
}

/// Opens what a power cut left and compares; answers the storage.
fn survives(rig: &Rig, crashed: &FaultyStorage) {
    let (opened, replayed) = open(crashed).expect("every crash state opens");
    rig.verify(&opened, &replayed);
}

#[test]
fn every_power_cut_leaves_what_was_acknowledged() {
    for_seeds(0..gate(400), |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rig = Rig::new(seed);
        let mut states = 0;
        for _ in 0..random.random_range(20..200) {
            rig.step(&mut random);
            if random.random_bool(0.3) {
                for _ in 0..3 {
                    survives(&rig, &rig.storage.crash(random.random()));
                }
                states += 3;
            }
            match random.random_range(0..100) {
                0..4 => {
                    let crashed = rig.storage.crash(random.random());
                    let (opened, replayed) = open(&crashed).unwrap();
                    rig.verify(&opened, &replayed);
                    rig.adopt(crashed, opened);
                    states += 1;
                }
                4..7 => rig.restart(),
                _ => {}
            }
        }
        rig.verify_live();
        states
    });
}

#[test]
fn corner_choices_of_every_step() {
    for_seeds(1_000..1_000 + gate(20), |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rig = Rig::new(seed);
        let mut states = 0;
        for _ in 0..60 {
            rig.step(&mut random);
            survives(&rig, &rig.storage.crash_with(Choice::Nothing));
            survives(&rig, &rig.storage.crash_with(Choice::All));
            let changes = rig.storage.unsynced_changes();
            let each = (changes / 6).max(1);
            for one in (0..changes).step_by(each) {
                survives(&rig, &rig.storage.crash_with(Choice::AllBut(one)));
                survives(&rig, &rig.storage.crash_with(Choice::Only(one)));
                states += 2;
            }
            states += 2;
        }
        states
    });
}

#[test]
fn a_crash_in_the_middle_of_recovery_changes_nothing() {
    for_seeds(2_000..2_000 + gate(100), |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rig = Rig::new(seed);
        let mut states = 0;
        for _ in 0..8 {
            for _ in 0..random.random_range(5..30) {
                rig.step(&mut random);
            }
            for _ in 0..4 {
                let mut crashed = rig.storage.crash(random.random());
                for _ in 0..3 {
                    crashed.power_off_after(random.random_range(0..8));
                    drop(open(&crashed));
                    crashed = crashed.crash(random.random());
                    states += 1;
                }
                survives(&rig, &crashed);
            }
        }
        states
    });
}

#[test]
fn opening_twice_gives_the_same_bytes() {
    for_seeds(6_000..6_000 + gate(60), |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rig = Rig::new(seed);
        for _ in 0..random.random_range(5..120) {
            rig.step(&mut random);
        }
        for _ in 0..4 {
            let crashed = rig.storage.crash(random.random());
            let (first, _) = open(&crashed).unwrap();
            let (bytes, end) = (crashed.snapshot(), first.report.end);
            let (second, replayed) = open(&crashed).unwrap();
            rig.verify(&second, &replayed);
            assert_eq!(second.report.end, end);
            assert!(crashed.snapshot() == bytes, "the second start changed something");
            // nothing of what the first start decided may be lost in a power cut behind it
            assert!(crashed.clone_durable().snapshot() == bytes, "a start left something unsynced");
        }
        8
    });
}
