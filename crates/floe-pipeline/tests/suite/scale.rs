//! Several workers of one pipeline: they come, go and die, and nothing is lost.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::stage::{Receiver, Stage, pipeline, texts, until};

async fn members(stage: &Stage) -> Vec<(String, usize)> {
    let group = stage.engine().describe_group("pipeline:p").await;
    let members = group.map(|group| group.members).unwrap_or_default();
    members.into_iter().map(|member| (member.id, member.assignment.len())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_partitions_and_take_over_from_each_other() {
    let stage = Stage::new();
    stage.make("t", 6).await;
    let receiver = Receiver::start(|_| 200).await;
    let specs = || vec![pipeline("p", "t", vec![receiver.sink()])];
    let first = stage.start(specs());
    until("the first has all", async || members(&stage).await.iter().any(|(_, own)| *own == 6)).await;
    let second = stage.start(specs());
    until("they share", async || {
        let members = members(&stage).await;
        members.len() == 2 && members.iter().all(|(_, own)| *own == 3)
    })
    .await;
    let mut ends = [0i64; 6];
    let mut expected = 0;
    let mut put = async |stage: &Stage| {
        for (partition, end) in (0..).zip(&mut ends) {
            stage.put("t", partition, &texts(0, 20)).await;
            *end += 20;
            expected += 20;
        }
        for (partition, end) in (0..).zip(ends) {
            stage.until_committed("p", "t", partition, end).await;
        }
        expected
    };
    put(&stage).await;
    // one leaves in order
    second.drain(Duration::from_secs(10)).await;
    until("the first has all again", async || members(&stage).await.iter().any(|(_, own)| *own == 6)).await;
    let so_far = put(&stage).await;
    assert_eq!(receiver.taken().len(), so_far, "orderly changes repeat nothing");
    // one dies
    let third = stage.start(specs());
    until("they share", async || members(&stage).await.iter().filter(|(_, own)| *own == 3).count() == 2)
        .await;
    drop(first);
    stage.pass(Duration::from_secs(60));
    put(&stage).await;
    let all: HashSet<_> = receiver.arrived().into_iter().map(|(a, _)| (a.partition, a.offset)).collect();
    assert_eq!(all.len(), 360, "nothing is lost");
    third.drain(Duration::from_secs(10)).await;
}

/// Of what came to a receiver, the first arrival of each record has to be in order, per partition; and nothing may miss.
fn check(arrived: &[(crate::stage::Arrived, u16)], ends: &[i64]) -> usize {
    let mut next: BTreeMap<u32, i64> = BTreeMap::new();
    let mut repeats = 0;
    for (arrived, status) in arrived {
        if *status >= 300 {
            continue;
        }
        let next = next.entry(arrived.partition).or_default();
        assert!(arrived.offset <= *next, "{}-{} came before {next}", arrived.partition, arrived.offset);
        if arrived.offset == *next {
            *next += 1;
        } else {
            repeats += 1;
        }
    }
    for (partition, end) in (0..).zip(ends) {
        assert_eq!(next.get(&partition).copied().unwrap_or(0), *end, "partition {partition}");
    }
    repeats
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_lose_nothing_and_keep_the_order() {
    const PARTITIONS: u32 = 4;
    let seed = std::env::var("FLOE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4);
    // FLOE_TORTURE=1 for a long run
    let kills = if std::env::var_os("FLOE_TORTURE").is_some() { 500 } else { 50 };
    println!("FLOE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let stage = Stage::new();
    stage.make("t", PARTITIONS).await;
    let mut attempts = 0usize;
    let receiver = Receiver::start(move |_| {
        attempts += 1;
        if attempts.is_multiple_of(17) { 503 } else { 200 }
    })
    .await;
    let mut spec = pipeline("p", "t", vec![receiver.sink()]);
    spec.batch.max_records = 7;
    spec.retry.attempts = 1_000;
    let mut workers = vec![stage.start(vec![spec.clone()]), stage.start(vec![spec.clone()])];
    let mut ends = [0i64; PARTITIONS as usize];
    for _ in 0..kills {
        let partition = random.random_range(0..PARTITIONS);
        let count = random.random_range(5..40);
        stage.put("t", partition, &texts(0, count)).await;
        ends[partition as usize] += i64::try_from(count).unwrap();
        let before = receiver.arrived().len();
        let some = random.random_range(0..20);
        until("some more came", async || {
            let mut all = true;
            for (p, end) in (0..).zip(ends) {
                all &= stage.committed("p", "t", p).await.unwrap_or(0) == end;
            }
            receiver.arrived().len() >= before + some || all
        })
        .await;
        // without a word: the task ends where it is
        drop(workers.swap_remove(random.random_range(0..workers.len())));
        if random.random_bool(0.7) {
            stage.pass(Duration::from_secs(10));
        }
        workers.push(stage.start(vec![spec.clone()]));
    }
    stage.pass(Duration::from_secs(60));
    for (partition, end) in (0..).zip(ends) {
        stage.until_committed("p", "t", partition, end).await;
    }
    let repeats = check(&receiver.arrived(), &ends);
    println!("{} records, {repeats} came more than once", ends.iter().sum::<i64>());
    assert!(stage.read("dlq.p", 0).await.is_empty());
    for worker in workers {
        worker.drain(Duration::from_secs(10)).await;
    }
}
