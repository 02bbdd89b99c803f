//! Bytes that changed on their own, below what was durable: found, told, and costing no more than they hit.

use std::{ops::Range, panic::AssertUnwindSafe, sync::Arc};

use floe_journal::{DamageKind, OpenError};
use floe_testkit::faulty::FaultyStorage;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    model::{Batch, Model},
    rig::{Draft, Rig, config, open, random_body, walk},
};

/// What of the model is missing after damage.
struct Loss {
    batches: usize,
    states: usize,
    told: bool,
}

fn torture() -> bool {
    std::env::var_os("FLOE_TORTURE").is_some()
}

/// Opens damaged files and reads everything: what is served must be what was sent.
fn open_and_read(model: &Model, storage: &FaultyStorage) -> Loss {
    let (opened, replayed) = open(storage).expect("damaged files open");
    let mut lost = 0;
    for partition in model.partitions() {
        let found = walk(&opened.journal, partition, 0);
        let mut served = Vec::new();
        for batch in &found {
            match opened.journal.read(batch) {
                Ok(body) => {
                    served.push((batch.base_offset(), batch.last_offset(), batch.max_timestamp(), body))
                }
                Err(_) => opened.journal.report_damaged(partition, batch),
            }
        }
        let kept = model.kept(partition);
        for (base, last, timestamp, body) in &served {
            let is = |sent: &&&Batch| sent.base_offset == *base;
            let sent = kept.iter().find(is).expect("nothing is invented");
            assert!(sent.body == *body && sent.last_offset == *last && sent.max_timestamp == *timestamp);
        }
        lost += kept.len() - served.len();
    }
    let states = model.states();
    let tail = &states[replayed.in_snapshot.min(states.len())..];
    let mut behind = tail.iter();
    for state in &replayed.behind {
        assert!(behind.any(|sent| sent == state), "a state entry that was never sent, or out of order");
    }
    let told = opened.journal.damage().iter().any(|damage| damage.kind != DamageKind::Repaired);
    Loss { batches: lost, states: tail.len() - replayed.behind.len(), told }
}

/// Two full segments and a short third one, a snapshot, all durable and vouched for.
fn filled(snapshot: bool) -> Rig {
    let mut random = StdRng::seed_from_u64(8);
    let mut rig = Rig::new(8);
    while rig.journal().written() < 2 * 65_536 + 3_000 {
        let mut draft = Draft::default();
        for partition in 1..=3 {
            draft.batch(partition, rig.model.next_offset(partition), 2, random_body(&mut random, 1_200));
        }
        draft.state(rig.state_body(&mut random));
        let rolled = rig.send(draft, false).unwrap();
        rig.sync().unwrap();
        rig.work();
        if rolled && snapshot {
            rig.snapshot();
        }
    }
    rig.send(Draft::default(), true).unwrap();
    rig.sync().unwrap();
    rig.work();
    rig.storage = rig.storage.clone_durable();
    rig
}

/// Damages a copy for each place, and counts.
fn sweep(
    rig: &Rig,
    what: &str,
    places: impl Iterator<Item = usize>,
    damage: impl Fn(&FaultyStorage, usize),
    most: Range<usize>,
) {
    let mut count = 0;
    for place in places {
        let storage = rig.storage.clone_durable();
        damage(&storage, place);
        let loss = std::panic::catch_unwind(AssertUnwindSafe(|| open_and_read(&rig.model, &storage)));
        let loss = loss.unwrap_or_else(|_| panic!("{what} at {place}: a panic"));
        let lost = loss.batches + loss.states;
        assert!(
            lost == 0 || loss.told,
            "{what} at {place}: {} batches, {} states lost and not told",
            loss.batches,
            loss.states
        );
        assert!(
            most.contains(&lost),
            "{what} at {place}: {} batches, {} states lost",
            loss.batches,
            loss.states
        );
        count += 1;
    }
    println!("{what}: {count} states");
}

#[test]
fn a_flipped_bit_costs_at_most_what_it_hits() {
    for snapshot in [true, false] {
        let rig = filled(snapshot);
        for (name, bytes) in rig.storage.snapshot() {
            let step = if torture() { 1 } else { (bytes.len() * 8 / 1_500).max(1) | 1 };
            let flip = |storage: &FaultyStorage, bit| storage.flip_bit(&name, bit);
            sweep(&rig, &format!("flips in {name}"), (0..bytes.len() * 8).step_by(step), flip, 0..2);
        }
    }
}

#[test]
fn every_bit_of_a_frame_head_a_footer_and_the_meta_file() {
    let rig = filled(true);
    let first = "00000000000000000000.segment";
    let flip = |name: &'static str| move |storage: &FaultyStorage, bit| storage.flip_bit(name, bit);
    let head_bits = (64 + 4 * 48) * 8;
    sweep(&rig, "the first frame's head", 0..head_bits, flip(first), 0..1);
    let bits = rig.storage.content(first).unwrap().len() * 8;
    let footer = (65_536 * 8..bits).step_by(if torture() { 1 } else { 7 });
    sweep(&rig, "a footer", footer, flip(first), 0..1);
    sweep(&rig, "the meta file", (0..256).chain(4_096 * 8..4_128 * 8), flip("floe.journal"), 0..1);
}

#[test]
fn a_file_cut_at_any_length() {
    for snapshot in [true, false] {
        let rig = filled(snapshot);
        for (name, bytes) in rig.storage.snapshot() {
            let step = if torture() { 1 } else { (bytes.len() / 400).max(1) | 1 };
            let cut = |storage: &FaultyStorage, length| storage.cut_to(&name, length);
            sweep(&rig, &format!("cuts of {name}"), (0..bytes.len()).step_by(step), cut, 0..usize::MAX);
        }
    }
}

#[test]
fn a_lost_file_is_told() {
    for snapshot in [true, false] {
        let rig = filled(snapshot);
        for name in rig.storage.snapshot().keys() {
            let storage = rig.storage.clone_durable();
            storage.lose(name);
            let loss = open_and_read(&rig.model, &storage);
            assert!(loss.batches == 0 || loss.told, "the loss of {name} is not told");
            assert_eq!(loss.batches > 0, name.ends_with(".segment"), "losing {name}");
            assert!(loss.told || name == "floe.journal" || name.ends_with(".snapshot"), "losing {name}");
        }
    }
}

#[test]
fn misdirected_swapped_and_zeroed_blocks() {
    let rig = filled(true);
    let names: Vec<String> =
        rig.storage.snapshot().into_keys().filter(|name| name.ends_with(".segment")).collect();
    let count = if torture() { 20_000 } else { 400 };
    let mut random = StdRng::seed_from_u64(10);
    let places: Vec<(usize, usize, usize, usize)> = (0..count)
        .map(|_| {
            // the last segment is one block, with the frames that vouch for it: that nobody can tell from a crash
            let file = random.random_range(0..names.len() - 1);
            let (one, other) = (random.random_range(0..16), random.random_range(0..16));
            (file, one * 4_096, other * 4_096, random.random_range(0..3))
        })
        .collect();
    let damage = |storage: &FaultyStorage, place: usize| {
        let (file, one, other, kind) = places[place];
        match kind {
            0 => storage.zero_block(&names[file], one, 4_096),
            1 => storage.copy_block((&names[(file + 1) % names.len()], one), (&names[file], other), 4_096),
            _ => storage.swap_blocks(&names[file], one, other, 4_096),
        }
    };
    // a block is hit whole, and two when swapped: the frames that touch them
    sweep(&rig, "blocks", 0..count, damage, 0..80);
}

#[test]
fn a_stale_copy_of_a_file() {
    let mut rig = filled(false);
    let old = rig.storage.snapshot();
    rig.restart();
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..60 {
        rig.send_random(&mut random, 3, 3_000).unwrap();
        rig.sync().unwrap();
        rig.work();
    }
    rig.send(Draft::default(), true).unwrap();
    rig.sync().unwrap();
    for (name, bytes) in old {
        let storage = rig.storage.clone_durable();
        storage.damage(&name, |content| *content = bytes);
        let loss = open_and_read(&rig.model, &storage);
        assert!(loss.batches == 0 || loss.told, "the stale copy of {name} is not told");
    }
}

#[test]
fn strange_files_are_left_alone() {
    let rig = filled(true);
    let strange = [
        "notes.txt",
        "00000000000000000001.segment",
        "000.segment",
        "99999999999999999999.snapshot",
        "x.cut",
    ];
    for name in strange {
        let storage = rig.storage.clone_durable();
        storage.damage(name, |bytes| bytes.extend_from_slice(b"not the journal's"));
        let loss = open_and_read(&rig.model, &storage);
        assert_eq!(loss.batches + loss.states, 0, "{name}");
        assert_eq!(storage.content(name).unwrap(), b"not the journal's", "{name}");
    }
}

#[test]
fn a_bad_snapshot_falls_back() {
    let rig = filled(true);
    let snapshots: Vec<String> =
        rig.storage.snapshot().into_keys().filter(|name| name.ends_with(".snapshot")).collect();
    assert_eq!(snapshots.len(), 2);
    for damaged in 1..=2 {
        let storage = rig.storage.clone_durable();
        for name in snapshots.iter().rev().take(damaged) {
            storage.cut_to(name, 20);
        }
        let loss = open_and_read(&rig.model, &storage);
        assert_eq!(loss.batches + loss.states, 0);
        assert!(loss.told);
    }
}

#[test]
fn a_segment_of_another_journal_is_set_aside() {
    let rig = filled(true);
    let other = FaultyStorage::new(1);
    let mut opened = floe_journal::open(Arc::new(other.clone()), &config(), 77, &mut |_| {}).unwrap();
    let mut random = StdRng::seed_from_u64(12);
    let name = "00000000000000196608.segment";
    while !other.content(name).is_some_and(|content| content.starts_with(b"FLOE")) {
        let mut draft = Draft::default();
        draft.batch(1, 0, 1, random_body(&mut random, 9_000));
        opened.appender.append(draft.builder, 0, false).unwrap();
    }
    let foreign = other.content(name).unwrap();
    let storage = rig.storage.clone_durable();
    storage.damage(name, |bytes| bytes.clone_from(&foreign));
    let loss = open_and_read(&rig.model, &storage);
    assert!(loss.batches + loss.states == 0 && loss.told);
    assert!(storage.content(&format!("{name}.foreign")).unwrap() == foreign, "nothing is deleted");
}

#[test]
fn a_journal_that_nothing_identifies_is_refused() {
    let rig = filled(true);
    let storage = rig.storage.clone_durable();
    storage.lose("floe.journal");
    for name in storage.snapshot().into_keys().filter(|name| name.ends_with(".segment")) {
        storage.zero_block(&name, 0, 64);
    }
    let before = storage.snapshot();
    assert!(matches!(open(&storage), Err(OpenError::Unidentified { .. })));
    assert!(storage.snapshot() == before, "nothing is changed");
}
