//! Damage is found without a read.

use floe_journal::DamageKind;
use rand::{SeedableRng, rngs::StdRng};

use crate::rig::{Rig, SEGMENT_BYTES, walk};

fn scrub(rig: &Rig) -> usize {
    let mut steps = 0;
    let mut after = None;
    while let Some(base) = rig.journal().scrub_step(after).unwrap() {
        after = Some(base);
        steps += 1;
    }
    steps
}

fn filled() -> Rig {
    let mut random = StdRng::seed_from_u64(1);
    let mut rig = Rig::new(1);
    while rig.journal().written() < 4 * u64::from(SEGMENT_BYTES) {
        rig.send_random(&mut random, 2, 2_000).unwrap();
        rig.sync().unwrap();
        rig.work();
    }
    rig
}

#[test]
fn a_sound_journal_scrubs_clean() {
    let rig = filled();
    assert!(scrub(&rig) >= 3);
    assert_eq!(rig.journal().damage(), []);
}

#[test]
fn a_flipped_bit_of_a_batch_is_found_and_named() {
    let rig = filled();
    let batch = rig.model.kept(1)[0].clone();
    rig.storage.flip_bit("00000000000000000000.segment", usize::try_from(batch.origin).unwrap() * 8 + 3);
    scrub(&rig);
    scrub(&rig);
    let found = rig.journal().damage();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].position, found[0].bytes), (batch.origin, batch.body.len() as u64));
    let kind = DamageKind::Records { partition: 1, from: batch.base_offset, to: batch.last_offset };
    assert_eq!(found[0].kind, kind);
}

#[test]
fn a_footer_damaged_while_running_costs_nothing() {
    let rig = filled();
    let name = "00000000000000065536.segment";
    let footer = 65_536..rig.storage.content(name).unwrap().len() - 68;
    for byte in footer.step_by(5) {
        rig.storage.flip_bit(name, byte * 8 + 1);
    }
    rig.verify_live();
    assert!(!walk(rig.journal(), 1, 0).is_empty());
    scrub(&rig);
    assert_eq!(rig.journal().damage()[0].kind, DamageKind::Footer);
}
