//! Errors of writes and syncs: nothing is acknowledged after, nothing panics, the next start finds what was promised.

use floe_testkit::faulty::{FaultError, FaultyStorage, Operation};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::rig::{Rig, open};

/// Writes and syncs until the journal refuses or 60 groups are done.
fn run_until_refused(rig: &mut Rig, random: &mut StdRng) {
    for _ in 0..60 {
        let sent = rig.send_random(random, 3, 4_000);
        if let Ok(true) = sent {
            rig.snapshot();
        }
        let synced = if random.random_bool(0.7) { rig.sync().map(drop) } else { Ok(()) };
        // the keeper's own failures are its own affair, as long as nothing is promised for them
        let _ = rig.opened.keeper.work();
        if sent.is_err() || synced.is_err() {
            return;
        }
    }
}

fn fails_at(operation: Operation, nth: u64, error: FaultError) -> bool {
    let mut random = StdRng::seed_from_u64(nth);
    let mut rig = Rig::new(nth);
    rig.storage.fail(operation, nth, error);
    run_until_refused(&mut rig, &mut random);
    let failed = rig.journal().is_failed();
    if failed {
        let acked = rig.model.acked;
        assert!(rig.send_random(&mut random, 3, 100).is_err(), "a failed journal takes nothing");
        assert!(rig.sync().is_err(), "a failed journal acknowledges nothing");
        assert_eq!(rig.model.acked, acked);
    }
    // what was written stays readable
    rig.storage.heal();
    let after: [FaultyStorage; 4] = [
        rig.storage.clone_durable(),
        rig.storage.crash(nth),
        rig.storage.crash(nth + 1),
        rig.storage.clone(),
    ];
    for storage in after {
        let (opened, replayed) = open(&storage).unwrap();
        rig.verify(&opened, &replayed);
    }
    failed
}

#[test]
fn a_failed_sync_stops_the_acknowledging() {
    let failed = (1..=60).filter(|nth| fails_at(Operation::Sync, *nth, FaultError::Io)).count();
    assert!(failed >= 40, "only {failed} of 60 failed syncs were noticed");
}

#[test]
fn a_failed_write_stops_the_writing() {
    let failed = (1..=60).filter(|nth| fails_at(Operation::Write, *nth, FaultError::Io)).count();
    assert!(failed >= 40, "only {failed} of 60 failed writes were noticed");
}

#[test]
fn other_failures_lose_nothing() {
    for operation in [
        Operation::Create,
        Operation::Rename,
        Operation::Remove,
        Operation::SyncDirectory,
        Operation::Allocate,
        Operation::Truncate,
        Operation::Open,
    ] {
        for error in [FaultError::Io, FaultError::NoSpace] {
            for nth in 1..=6 {
                fails_at(operation, nth, error);
            }
        }
    }
    for nth in 1..=40 {
        fails_at(Operation::Write, nth, FaultError::NoSpace);
        fails_at(Operation::Sync, nth, FaultError::NoSpace);
    }
}

#[test]
fn a_failure_while_opening_is_an_error_and_harms_nothing() {
    let mut random = StdRng::seed_from_u64(5);
    let mut rig = Rig::new(5);
    for _ in 0..80 {
        rig.step(&mut random);
    }
    for operation in [
        Operation::Open,
        Operation::Read,
        Operation::Write,
        Operation::Sync,
        Operation::Create,
        Operation::Rename,
    ] {
        for nth in 1..=12 {
            let crashed = rig.storage.crash(nth);
            crashed.fail(operation, nth, FaultError::Io);
            drop(open(&crashed));
            crashed.heal();
            let crashed = crashed.crash(nth);
            let (opened, replayed) = open(&crashed).unwrap();
            rig.verify(&opened, &replayed);
        }
    }
}
