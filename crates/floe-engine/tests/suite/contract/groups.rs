//! Groups: positions, lag, members.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use floe_engine::{Engine, EngineError, GroupState, Membership, OffsetSpec};

use super::poll::{committed as positions, lease};
use crate::stage::{Stage, make, put, put_counted, record_in, until};

const SESSION: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(30);

pub(crate) async fn subscribing_again_keeps_the_positions(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    put_counted(&engine, "t", 5).await;
    assert_eq!(engine.subscribe_group("g", "t", OffsetSpec::Earliest).await.unwrap(), [0, 0]);
    engine.commit("g", None, vec![("t".into(), 0, 3)]).await.unwrap();
    assert_eq!(engine.subscribe_group("g", "t", OffsetSpec::Latest).await.unwrap(), [3, 0]);
    assert_eq!(stage.reopen().subscribe_group("g", "t", OffsetSpec::Latest).await.unwrap(), [3, 0]);
    let engine = stage.engine();
    assert_eq!(engine.subscribe_group("late", "t", OffsetSpec::Latest).await.unwrap(), [5, 0]);
    // partitions that came later get their position by subscribing again
    engine.alter_topic("t", Some(3), BTreeMap::new()).await.unwrap();
    assert_eq!(engine.subscribe_group("late", "t", OffsetSpec::Earliest).await.unwrap(), [5, 0, 0]);
}

pub(crate) async fn an_active_group_is_not_reset(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 5).await;
    let delivery = engine.poll(lease("g", "t", 2, LEASE)).await.unwrap();
    let active = |members, leases| EngineError::GroupActive { group: "g".into(), members, leases };
    let reset = || engine.reset_group("g", "t", None, OffsetSpec::Earliest);
    assert_eq!(reset().await.unwrap_err(), active(0, 1));
    assert_eq!(engine.delete_group("g").await.unwrap_err(), active(0, 1));
    assert_eq!(engine.describe_group("g").await.unwrap().state, GroupState::Stable);
    engine.ack("g", &delivery.id.unwrap()).await.unwrap();
    assert_eq!(reset().await.unwrap(), [(0, 0)]);
    assert_eq!(engine.poll(lease("g", "t", 9, LEASE)).await.unwrap().records.len(), 5);
    stage.clocks.pass(LEASE);
    let member = engine.join_group("g", "c", vec!["t".into()], SESSION).await.unwrap().member;
    assert_eq!(reset().await.unwrap_err(), active(1, 0));
    engine.leave_group("g", &member).await.unwrap();
    reset().await.unwrap();
    assert_eq!(engine.describe_group("g").await.unwrap().state, GroupState::Empty);
}

pub(crate) async fn positions_can_be_moved_anywhere(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    for number in 0..10 {
        put(&engine, "t", vec![record_in(number % 2, number.to_string())]).await;
        stage.clocks.pass(Duration::from_millis(10));
    }
    let reset = async |partition, to| engine.reset_group("g", "t", partition, to).await;
    assert_eq!(reset(None, OffsetSpec::Latest).await.unwrap(), [(0, 5), (1, 5)]);
    assert_eq!(reset(None, OffsetSpec::Earliest).await.unwrap(), [(0, 0), (1, 0)]);
    assert_eq!(reset(Some(1), OffsetSpec::Offset(3)).await.unwrap(), [(1, 3)]);
    assert_eq!(positions(&engine, "g").await, [0, 3]);
    assert_eq!(reset(None, OffsetSpec::Time(stage.start_ms() + 50)).await.unwrap(), [(0, 3), (1, 2)]);
    assert!(matches!(reset(Some(0), OffsetSpec::Offset(6)).await, Err(EngineError::OffsetOutOfRange { .. })));
    assert!(matches!(reset(Some(2), OffsetSpec::Latest).await, Err(EngineError::PartitionNotFound { .. })));
    // what was read before is read again
    reset(None, OffsetSpec::Latest).await.unwrap();
    assert!(engine.poll(lease("g", "t", 99, LEASE)).await.unwrap().records.is_empty());
    reset(None, OffsetSpec::Earliest).await.unwrap();
    assert_eq!(engine.poll(lease("g", "t", 99, LEASE)).await.unwrap().records.len(), 10);
}

pub(crate) async fn a_deleted_group_is_gone(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 2).await;
    let none = EngineError::GroupNotFound { group: "g".into() };
    assert_eq!(engine.delete_group("g").await.unwrap_err(), none);
    assert_eq!(engine.describe_group("g").await.unwrap_err(), none);
    engine.commit("g", None, vec![("t".into(), 0, 2)]).await.unwrap();
    assert_eq!(engine.groups().await.unwrap().len(), 1);
    engine.delete_group("g").await.unwrap();
    assert!(engine.groups().await.unwrap().is_empty());
    let engine = stage.reopen();
    assert_eq!(engine.describe_group("g").await.unwrap_err(), none);
    // one that only ever polled can be deleted as well
    engine.poll(lease("g", "t", 0, LEASE)).await.unwrap();
    engine.delete_group("g").await.unwrap();
    assert_eq!(engine.poll(lease("g", "t", 9, LEASE)).await.unwrap().records.len(), 2);
}

pub(crate) async fn lag_is_what_is_left_to_read(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 8).await;
    engine.commit("g", None, vec![("t".into(), 0, 3)]).await.unwrap();
    let described = engine.describe_group("g").await.unwrap();
    let lag = &described.partitions[0];
    assert_eq!((lag.topic.as_str(), lag.partition), ("t", 0));
    assert_eq!((lag.committed, lag.end, lag.lag), (3, 8, 5));
    for offset in [-1, 9] {
        let refused = engine.commit("g", None, vec![("t".into(), 0, offset)]).await.unwrap_err();
        assert!(matches!(refused, EngineError::OffsetOutOfRange { .. }), "{refused}");
    }
    engine.commit("g", None, vec![("t".into(), 0, 8)]).await.unwrap();
    assert_eq!(engine.describe_group("g").await.unwrap().partitions[0].lag, 0);
}

pub(crate) async fn positions_outlive_a_restart(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    put_counted(&engine, "t", 5).await;
    engine.commit("b", None, vec![("t".into(), 0, 4)]).await.unwrap();
    engine.subscribe_group("a", "t", OffsetSpec::Latest).await.unwrap();
    let engine = stage.reopen();
    let groups: Vec<_> = engine.groups().await.unwrap().into_iter().map(|group| group.group).collect();
    assert_eq!(groups, ["a", "b"]);
    assert_eq!(positions(&engine, "a").await, [5, 0]);
    assert_eq!(positions(&engine, "b").await, [4]);
}

pub(crate) async fn group_names_are_checked(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    for name in ["", "a\nb", &"g".repeat(256)] {
        let invalid =
            |error: EngineError| assert!(matches!(error, EngineError::InvalidGroup { .. }), "{error}");
        invalid(engine.poll(lease(name, "t", 1, LEASE)).await.unwrap_err());
        invalid(engine.commit(name, None, vec![("t".into(), 0, 0)]).await.unwrap_err());
        invalid(engine.subscribe_group(name, "t", OffsetSpec::Latest).await.unwrap_err());
        invalid(engine.reset_group(name, "t", None, OffsetSpec::Latest).await.unwrap_err());
        invalid(engine.join_group(name, "c", vec!["t".into()], SESSION).await.unwrap_err());
    }
    engine.subscribe_group("user:jörg@example.com", "t", OffsetSpec::Latest).await.unwrap();
    assert!(engine.groups().await.unwrap().iter().all(|group| group.group == "user:jörg@example.com"));
}

/// Of many acknowledgements at once, the last position is the one that stays, also on disk.
pub(crate) async fn concurrent_acknowledgements_never_go_back(stage: &Stage) {
    let mut engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 200).await;
    for turn in 0..4 {
        let mut ids = Vec::new();
        for _ in 0..50 {
            ids.push(engine.poll(lease("g", "t", 1, LEASE)).await.unwrap().id.unwrap());
        }
        let acks: Vec<_> = ids
            .into_iter()
            .map(|id| {
                let engine = engine.clone();
                tokio::spawn(async move { engine.ack("g", &id).await.unwrap() })
            })
            .collect();
        for ack in acks {
            ack.await.unwrap();
        }
        assert_eq!(positions(&engine, "g").await, [(turn + 1) * 50]);
        engine = stage.reopen();
        assert_eq!(positions(&engine, "g").await, [(turn + 1) * 50]);
    }
}

/// Lets every member say it is alive until each owns its share of the partitions. Nobody is told of a partition before the
/// one who was told of it before has been told that it isn't theirs any more.
async fn settle(engine: &Engine, members: &[String], partitions: usize) -> Vec<Membership> {
    let mut told: BTreeMap<String, Membership> = BTreeMap::new();
    until("every member has its share", async || {
        for member in members {
            told.remove(member);
            let told_now = engine.heartbeat("g", member, None).await.unwrap();
            let others: BTreeSet<_> = told.values().flat_map(|other| &other.assignment).collect();
            assert!(told_now.assignment.iter().all(|own| !others.contains(own)), "one owner at a time");
            told.insert(member.clone(), told_now);
        }
        told.values().all(|member| member.assignment.len() == partitions / members.len())
    })
    .await;
    members.iter().map(|member| told[member].clone()).collect()
}

pub(crate) async fn every_partition_has_one_owner(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 6).await;
    let join = async || engine.join_group("g", "c", vec!["t".into()], SESSION).await.unwrap().member;
    let mut members = vec![join().await];
    for count in 2..=3 {
        members.push(join().await);
        assert_eq!(settle(&engine, &members, 6).await.len(), count);
    }
    let described = engine.describe_group("g").await.unwrap();
    assert_eq!((described.members.len(), described.state), (3, GroupState::Stable));
    engine.leave_group("g", &members.remove(0)).await.unwrap();
    settle(&engine, &members, 6).await;
    engine.alter_topic("t", Some(10), BTreeMap::new()).await.unwrap();
    settle(&engine, &members, 10).await;
}

pub(crate) async fn a_silent_member_is_fenced(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    put_counted(&engine, "t", 5).await;
    let first = engine.join_group("g", "one", vec!["t".into()], SESSION).await.unwrap();
    let at = |offset| vec![("t".to_owned(), 0, offset)];
    engine.commit("g", Some((&first.member, first.generation)), at(1)).await.unwrap();
    let second = engine.join_group("g", "two", vec!["t".into()], SESSION).await.unwrap();
    stage.clocks.pass(SESSION / 2);
    engine.heartbeat("g", &second.member, None).await.unwrap();
    stage.clocks.pass(SESSION / 2);
    let gone = EngineError::MemberUnknown { group: "g".into(), member: first.member.clone() };
    let zombie = engine.commit("g", Some((&first.member, first.generation)), at(2)).await.unwrap_err();
    assert_eq!(zombie, gone);
    assert_eq!(engine.heartbeat("g", &first.member, None).await.unwrap_err(), gone);
    assert_eq!(engine.leave_group("g", &first.member).await.unwrap_err(), gone);
    let told = settle(&engine, std::slice::from_ref(&second.member), 1).await.remove(0);
    engine.commit("g", Some((&second.member, told.generation)), at(3)).await.unwrap();
    assert_eq!(positions(&engine, "g").await, [3]);
}

pub(crate) async fn a_commit_needs_the_partition(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 2).await;
    let mut members = Vec::new();
    for client in ["one", "two"] {
        members.push(engine.join_group("g", client, vec!["t".into()], SESSION).await.unwrap().member);
    }
    let told = settle(&engine, &members, 2).await;
    let of = |member: usize| (members[member].as_str(), told[member].generation);
    for (member, other) in [(0, 1), (1, 0)] {
        let mine = told[member].assignment[0].1;
        engine.commit("g", Some(of(member)), vec![("t".into(), mine, 0)]).await.unwrap();
        engine.commit("g", Some(of(other)), vec![("t".into(), mine, 0)]).await.unwrap_err();
        let old = Some((members[member].as_str(), told[member].generation - 1));
        engine.commit("g", old, vec![("t".into(), mine, 0)]).await.unwrap_err();
    }
}

pub(crate) async fn what_members_say_of_themselves_is_there_for_others(stage: &Stage) {
    let engine = stage.engine();
    make(&engine, "t", 1).await;
    let member = engine.join_group("g", "c", vec!["t".into()], SESSION).await.unwrap().member;
    let said = async |engine: &Engine| engine.describe_group("g").await.unwrap().members[0].status.clone();
    assert!(said(&engine).await.is_empty());
    engine.heartbeat("g", &member, Some("busy".into())).await.unwrap();
    engine.heartbeat("g", &member, None).await.unwrap();
    assert_eq!(said(&engine).await, "busy", "a heartbeat without a status keeps the last one");
    let long = vec![b'x'; 16 * 1024 + 1];
    let refused = engine.heartbeat("g", &member, Some(long.into())).await.unwrap_err();
    assert!(matches!(refused, EngineError::LimitReached { .. }), "{refused}");
    assert_eq!(said(&engine).await, "busy");
}
