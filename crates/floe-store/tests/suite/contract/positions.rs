//! Claims, epochs, and writing each record once.

use floe_store::{PositionKey, TableWriter, WriteError};
use tokio::task::JoinSet;

use crate::stage::{Stage, claimed, events, key, people, person};

pub(crate) async fn a_claim_raises_the_epoch_and_keeps_the_position(stage: &Stage) {
    let store = stage.store();
    let first = claimed(&store, 0).await;
    assert_eq!((first.epoch, first.next_offset), (1, None));
    assert_eq!(store.write(&key(0), &first, events(0, 0..3), 5).await, Ok(3));
    let second = claimed(&stage.store(), 0).await;
    assert_eq!((second.epoch, second.next_offset), (2, Some(5)));
}

pub(crate) async fn a_fenced_owner_writes_nothing(stage: &Stage) {
    let (old, new) = (stage.store(), stage.store());
    let zombie = claimed(&old, 0).await;
    let owner = claimed(&new, 0).await;
    assert_eq!(old.write(&key(0), &zombie, events(0, 0..3), 3).await, Err(WriteError::Fenced));
    assert_eq!(stage.ask("SELECT count(*) FROM events").await, "0");
    assert_eq!(new.write(&key(0), &owner, events(0, 0..3), 3).await, Ok(3));
    assert_eq!(old.write(&key(0), &zombie, events(0, 3..4), 4).await, Err(WriteError::Fenced));
    let unclaimed = old.write(&key(1), &zombie, events(1, 0..1), 1).await;
    assert_eq!(unclaimed, Err(WriteError::Fenced), "nobody has claimed this one");
    assert_eq!(claimed(&new, 0).await.next_offset, Some(3));
}

pub(crate) async fn a_repeated_write_stores_nothing_twice(stage: &Stage) {
    let writer = TableWriter::new(&stage.database(), people(true)).unwrap();
    let claim = writer.claim(&key(0), "worker").await.unwrap();
    let rows =
        |offsets: std::ops::Range<i64>| offsets.map(|offset| person(offset, offset, "x")).collect::<Vec<_>>();
    assert_eq!(writer.write(&key(0), &claim, rows(0..5), 5).await, Ok(5));
    assert_eq!(writer.write(&key(0), &claim, rows(0..5), 5).await, Ok(0), "as after an answer that was lost");
    assert_eq!(writer.write(&key(0), &claim, rows(2..4), 4).await, Ok(0));
    assert_eq!(writer.write(&key(0), &claim, rows(3..8), 8).await, Ok(3), "cut another way the second time");
    assert_eq!(writer.write(&key(0), &claim, Vec::new(), 20).await, Ok(0), "nothing but a position");
    assert_eq!(writer.write(&key(0), &claim, rows(8..20), 20).await, Ok(0));
    assert_eq!(stage.ask("SELECT count(*) || ' ' || count(DISTINCT age) FROM people").await, "8 8");
}

pub(crate) async fn positions_of_others_are_their_own(stage: &Stage) {
    let store = stage.store();
    let claim = claimed(&store, 0).await;
    store.write(&key(0), &claim, events(0, 0..1), 1).await.unwrap();
    let others = [
        PositionKey { log: "other".into(), ..key(0) },
        PositionKey { pipeline: "other".into(), ..key(0) },
        PositionKey { topic: "other".into(), ..key(0) },
        PositionKey { topic_id: 7, ..key(0) },
        key(1),
    ];
    for other in &others {
        let claim = store.claim(other, "worker").await.unwrap();
        assert_eq!((claim.epoch, claim.next_offset), (1, None), "{other:?}");
    }
    let table = TableWriter::new(&stage.database(), people(true)).unwrap();
    let claim = table.claim(&key(0), "worker").await.unwrap();
    assert_eq!((claim.epoch, claim.next_offset), (1, None), "another table");
}

pub(crate) async fn writes_that_wait_together_are_answered_each(stage: &Stage) {
    let store = stage.store();
    let mut writes = JoinSet::new();
    for partition in 0..16 {
        let claim = claimed(&store, partition).await;
        let store = store.clone();
        writes.spawn(async move {
            for round in 0..5 {
                let batch = events(partition, round * 10..round * 10 + 10);
                assert_eq!(store.write(&key(partition), &claim, batch, round * 10 + 10).await, Ok(10));
            }
        });
    }
    // One of them loses its partition meanwhile; the others don't notice.
    let lost = claimed(&store, 100).await;
    claimed(&store, 100).await;
    assert_eq!(store.write(&key(100), &lost, events(100, 0..1), 1).await, Err(WriteError::Fenced));
    writes.join_all().await;
    assert_eq!(stage.ask("SELECT count(*) || ' ' || max(seq) FROM events").await, "800 800");
    assert_eq!(stage.ask("SELECT count(*) FROM floe_positions WHERE next_offset = 50").await, "16");
}

pub(crate) async fn a_write_that_is_given_up_can_be_made_again(stage: &Stage) {
    let store = stage.store();
    let claim = claimed(&store, 0).await;
    let partition = key(0);
    for round in 0..20 {
        let (from, to) = (round * 50, round * 50 + 50);
        {
            let mut write = Box::pin(store.write(&partition, &claim, events(0, from..to), to));
            // Polled a few times and dropped: it may be in the queue, in a transaction, or done.
            for _ in 0..round % 5 {
                tokio::select! { biased; _ = &mut write => break, () = tokio::task::yield_now() => {} }
            }
        }
        store.write(&key(0), &claim, events(0, from..to), to).await.unwrap();
    }
    assert_eq!(stage.ask("SELECT count(*) || ' ' || max(seq) FROM events").await, "1000 1000");
}
