//! Power cuts at random moments of random work, several in a row.

use std::time::{Duration, Instant};

use floe_engine::StorageState;
use floe_testkit::faulty::{Choice, FaultyStorage};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::workload::{Log, make_topics, open};

const SEEDS: u64 = 40;
const CRASHES: usize = 4;
/// A run that takes longer is left out: the count that is printed tells.
const BUDGET: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_told_is_lost_and_nothing_untold_invented() {
    let begun = Instant::now();
    let (mut crashes, mut operations, mut keys, mut runs) = (0, 0, 0, 0);
    // FLOE_SEEDS=5000 for a long run
    let asked: Option<u64> = std::env::var("FLOE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..asked.unwrap_or(SEEDS) {
        if asked.is_none() && begun.elapsed() > BUDGET {
            break;
        }
        let (log, repeated, twice) = run(seed).await;
        runs += 1;
        crashes += CRASHES + twice;
        operations += log.operations();
        keys += repeated;
    }
    println!("{runs} runs, {crashes} power cuts, {operations} operations, {keys} keys repeated");
    assert!(runs >= 5, "{runs} runs only");
}

async fn run(seed: u64) -> (Log, usize, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let log = Log::default();
    let mut storage = FaultyStorage::new(seed);
    let mut engine = open(&storage);
    make_topics(&engine).await;
    let (mut keys, mut twice) = (0, 0);
    for crash in 0..CRASHES {
        let clients = log.start(&engine, seed * 10 + crash as u64);
        let stop = storage.changes() + random.random_range(5..400);
        let until = Instant::now() + Duration::from_secs(5);
        while storage.changes() < stop && Instant::now() < until {
            tokio::task::yield_now().await;
        }
        let choice = match random.random_range(0..4) {
            0 => Choice::Nothing,
            1 => Choice::All,
            _ => Choice::Random(seed * 1_000 + crash as u64),
        };
        // the disk as it is at one moment; what clients were told before, it must hold
        let left = log.crash(|| storage.crash_with(choice));
        clients.iter().for_each(tokio::task::JoinHandle::abort);
        for client in clients {
            let ended = client.await;
            assert!(ended.is_ok() || ended.unwrap_err().is_cancelled(), "seed {seed}: a client panicked");
        }
        tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
        storage = left;
        engine = open(&storage);
        if random.random_bool(0.3) {
            // power fails again before anything was asked
            let again = storage.crash(seed * 1_000 + 500 + crash as u64);
            tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
            storage = again;
            engine = open(&storage);
            twice += 1;
        }
        assert_eq!(engine.health().storage, StorageState::Writable);
        assert!(engine.health().damage.is_empty(), "seed {seed}: {:?}", engine.health().damage);
        log.check_topics(&engine).await;
        keys += log.repeat_keys(&engine, 10).await;
        let report = log.judge(&engine).await;
        assert!(report.is_clean(), "seed {seed}, crash {crash} ({choice:?}):\n{report}");
    }
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    let engine = open(&storage);
    let report = log.judge(&engine).await;
    assert!(report.is_clean(), "seed {seed}, after an orderly stop:\n{report}");
    tokio::task::spawn_blocking(move || engine.close()).await.unwrap();
    (log, keys, twice)
}
