//! A full disk: records are refused, positions and deletions go through, and all goes on when there is room.

use floe_journal::{AppendError, FrameBuilder};
use rand::{SeedableRng, rngs::StdRng};

use crate::rig::{Draft, Rig, SEGMENT_BYTES, open, random_body};

/// Fills until records are refused.
fn fill(rig: &mut Rig, random: &mut StdRng) {
    for _ in 0..10_000 {
        let sent = rig.send_batch(1, 1, random_body(random, 2_000));
        let _ = rig.opened.keeper.work();
        match sent {
            Ok(rolled) => {
                rig.sync().unwrap();
                if rolled {
                    rig.snapshot();
                }
            }
            Err(AppendError::Full) => return,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("never full");
}

#[test]
fn a_full_disk_refuses_records_and_resumes_by_itself() {
    let mut random = StdRng::seed_from_u64(1);
    let mut rig = Rig::new(1);
    let segment = SEGMENT_BYTES as usize;
    for round in 1..=3 {
        rig.storage.limit_bytes(Some(rig.storage.used_bytes() + 2 * segment + segment / 2));
        fill(&mut rig, &mut random);
        assert!(rig.journal().is_full(), "round {round}");
        assert!(!rig.journal().is_failed());
        for _ in 0..20 {
            let mut draft = Draft::default();
            draft.state(rig.state_body(&mut random));
            rig.send(draft, true).expect("the reserve is for this");
            assert!(rig.journal().is_full(), "an essential frame doesn't say that there is room");
        }
        rig.sync().unwrap();
        rig.verify_live();
        let (opened, replayed) = open(&rig.storage.crash(round)).expect("a full disk opens");
        rig.verify(&opened, &replayed);

        rig.storage.limit_bytes(None);
        rig.work();
        assert!(!rig.journal().is_full(), "the keeper notices the room");
        rig.send_batch(1, 1, random_body(&mut random, 2_000)).unwrap();
        rig.sync().unwrap();
    }
    rig.verify_live();
}

#[test]
fn recycling_gives_a_full_disk_its_space_back() {
    let mut random = StdRng::seed_from_u64(2);
    let mut rig = Rig::new(2);
    rig.storage.limit_bytes(Some(rig.storage.used_bytes() + 6 * SEGMENT_BYTES as usize));
    for _ in 0..4 {
        fill(&mut rig, &mut random);
        let keep_from = rig.model.next_offset(1) - 1;
        rig.model.starts.insert(1, keep_from);
        let usage = rig.journal().usage(&|_| Some(keep_from));
        let snapshot = rig.journal().snapshot_position();
        let dead: Vec<_> =
            usage.iter().filter(|segment| segment.live_bytes == 0 && segment.end <= snapshot).collect();
        assert!(!dead.is_empty());
        for segment in dead {
            let mut builder = FrameBuilder::default();
            builder.retired(segment.base);
            rig.send(Draft { builder, ..Draft::default() }, true).unwrap();
            rig.sync().unwrap();
            rig.journal().recycle(segment.base);
        }
        // the same turn that recycles gets the next segment ready
        rig.work();
        assert!(!rig.journal().is_full());
        rig.verify_live();
    }
}
