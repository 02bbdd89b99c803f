//! The order in which groups get lost: what is legal in a power cut, and what is damage.

use floe_journal::DamageKind;
use floe_testkit::faulty::FaultyStorage;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::rig::{Draft, Rig, open, random_body, walk};

/// Sends a batch and answers from where to where its frame is.
fn group(rig: &mut Rig, random: &mut StdRng) -> (usize, usize) {
    let body = random_body(random, 3_000);
    let start = usize::try_from(rig.opened.appender.position()).unwrap();
    rig.send_batch(1, 1, body).unwrap();
    let end = usize::try_from(rig.model.frames.last().unwrap().end).unwrap();
    (start, end)
}

fn segment() -> &'static str {
    "00000000000000000000.segment"
}

#[test]
fn group_k_lost_and_the_next_kept_is_cut_silently() {
    let mut random = StdRng::seed_from_u64(3);
    let mut count = 0;
    while count < 2_000 {
        let mut rig = Rig::new(count);
        for _ in 0..random.random_range(0..5) {
            group(&mut rig, &mut random);
            rig.sync().unwrap();
        }
        let groups: Vec<_> = (0..random.random_range(2..6)).map(|_| group(&mut rig, &mut random)).collect();
        let lost = random.random_range(0..groups.len() - 1);
        let (start, end) = groups[lost];
        let crashed: FaultyStorage = rig.storage.crash_with(floe_testkit::faulty::Choice::All);
        match random.random_range(0..3) {
            0 => crashed.zero_block(segment(), start, end - start),
            1 => crashed.zero_block(segment(), start, 1 + (end - start) / 2),
            _ => {
                let half = (end - start) / 2;
                crashed.zero_block(segment(), start + half, end - start - half);
            }
        }
        let (opened, replayed) = open(&crashed).unwrap();
        rig.verify(&opened, &replayed);
        assert_eq!(opened.report.cut_frames > 0, opened.report.cut_file.is_some());
        assert!(
            walk(&opened.journal, 1, 0).len() <= rig.model.acked + lost,
            "a lost group and those behind it go"
        );
        // what was cut is kept aside with its bytes
        let (_, last_end) = groups[groups.len() - 1];
        if let Some(file) = &opened.report.cut_file {
            let aside = crashed.content(file).unwrap();
            let before = rig.storage.content(segment()).unwrap();
            let (from, _) = groups[groups.len() - 1];
            assert!(aside.ends_with(&before[from..last_end]));
        }
        count += 1;
    }
    println!("{count} states");
}

#[test]
fn the_same_below_the_durable_position_is_told_and_kept() {
    let mut random = StdRng::seed_from_u64(4);
    for round in 0..300 {
        let mut rig = Rig::new(round);
        let groups: Vec<_> = (0..8)
            .map(|_| {
                let group = group(&mut rig, &mut random);
                rig.sync().unwrap();
                group
            })
            .collect();
        let lost = random.random_range(0..6);
        let crashed = rig.storage.clone_durable();
        crashed.zero_block(segment(), groups[lost].0, groups[lost].1 - groups[lost].0);
        for _ in 0..3 {
            let (opened, _) = open(&crashed).unwrap();
            let batches = walk(&opened.journal, 1, 0);
            assert_eq!(batches.len(), 7, "all others stay");
            assert!(batches.iter().all(|batch| opened.journal.read(batch).is_ok()));
            let told = opened.journal.damage();
            assert_eq!((told.len(), told[0].kind), (1, DamageKind::Frames));
            assert_eq!(told[0].position, groups[lost].0 as u64);
            assert_eq!(told[0].bytes, (groups[lost].1 - groups[lost].0) as u64);
            assert_eq!(opened.report.cut_file, None);
        }
    }
}

/// The frame that vouches for a damaged place is itself cut: the next start must judge the same.
#[test]
fn what_was_durable_stays_so_when_the_frame_that_said_it_is_cut() {
    let mut random = StdRng::seed_from_u64(6);
    let mut rig = Rig::new(6);
    let durable: Vec<_> = (0..6).map(|_| group(&mut rig, &mut random)).collect();
    rig.sync().unwrap();
    let torn = group(&mut rig, &mut random);
    let crashed = rig.storage.crash_with(floe_testkit::faulty::Choice::All);
    crashed.zero_block(segment(), durable[2].0, 64);
    crashed.zero_block(segment(), torn.1 - 8, 8);
    for start in 0..4 {
        let (opened, _) = open(&crashed).unwrap();
        assert_eq!(walk(&opened.journal, 1, 0).len(), 5, "start {start}");
        assert_eq!(opened.journal.damage().len(), 1);
    }
}

#[test]
fn a_torn_last_frame_at_every_byte() {
    let mut random = StdRng::seed_from_u64(5);
    let mut rig = Rig::new(5);
    group(&mut rig, &mut random);
    rig.sync().unwrap();
    let mut draft = Draft::default();
    draft.batch(1, 1, 1, random_body(&mut random, 400));
    draft.state(rig.state_body(&mut random));
    let start = usize::try_from(rig.opened.appender.position()).unwrap();
    rig.send(draft, false).unwrap();
    let end = usize::try_from(rig.model.frames.last().unwrap().end).unwrap();
    for at in start..end {
        for (from, length) in [(at, end - at), (start, at - start)] {
            let crashed = rig.storage.crash_with(floe_testkit::faulty::Choice::All);
            crashed.zero_block(segment(), from, length);
            let (opened, replayed) = open(&crashed).unwrap();
            rig.verify(&opened, &replayed);
        }
    }
    println!("{} states", 2 * (end - start));
}
