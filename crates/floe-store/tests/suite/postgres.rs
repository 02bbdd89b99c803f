//! What happens when PostgreSQL goes away, and what is its own.

use std::time::{Duration, Instant};

use floe_store::{
    Cell, ColumnType, ConnectionState, Database, DatabaseUrl, EventStore, Row, StoreError, TableShape,
    TableWriter, WriteError,
};
use floe_testkit::services::{Postgres, Proxy, Traffic};
use sqlx::Connection as _;
use tokio::task::{JoinSet, spawn_blocking};

use crate::stage::{PATIENCE, claimed, events, key, people, person};

fn store(url: &str) -> EventStore {
    EventStore::new(Database::new(DatabaseUrl::Postgres(url.to_owned())).unwrap(), None).unwrap()
}

/// Writes as a pipeline does: what was not done is done again, with the partition claimed anew now and then.
async fn write_all(store: EventStore, partition: u32, to: i64) {
    let mut claim = None;
    let mut from = 0;
    while from < to {
        let held = match &claim {
            Some(held) => held,
            None => match store.claim(&key(partition), "worker").await {
                Ok(held) => {
                    from = held.next_offset.unwrap_or_default();
                    claim.insert(held)
                }
                Err(StoreError::Unavailable(_)) => continue,
                Err(refused) => panic!("{refused}"),
            },
        };
        let next = (from + 37).min(to);
        match store.write(&key(partition), held, events(partition, from..next), next).await {
            Ok(_) => from = next,
            // Every second partition forgets what it held, as a worker that is restarted does.
            Err(WriteError::Unavailable(_)) if partition.is_multiple_of(2) => claim = None,
            Err(WriteError::Unavailable(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_stored_once_though_postgres_is_killed() {
    const PARTITIONS: u32 = 4;
    const EACH: i64 = 4_000;
    let postgres = std::sync::Arc::new(Postgres::start());
    let url = postgres.database();
    let mut writers = JoinSet::new();
    let stores = [store(&url), store(&url)];
    for partition in 0..PARTITIONS {
        writers.spawn(write_all(stores[usize::try_from(partition % 2).unwrap()].clone(), partition, EACH));
    }
    let mut follower = stores[0].follow(Some(0), floe_store::EventFilter::default());
    let killer = {
        let (postgres, url) = (std::sync::Arc::clone(&postgres), url.clone());
        spawn_blocking(move || {
            for stored in [1_000, 5_000, 9_000] {
                let started = Instant::now();
                loop {
                    let count = postgres.try_query(&url, "SELECT count(*) FROM events").unwrap_or_default();
                    if count.trim().parse().is_ok_and(|count: i64| count >= stored) {
                        break;
                    }
                    assert!(started.elapsed() < PATIENCE, "no {stored} events");
                }
                postgres.kill();
                postgres.restart();
            }
        })
    };
    let all = i64::from(PARTITIONS) * EACH;
    let mut seen = 0;
    while seen < all {
        for event in follower.next().await {
            seen += 1;
            assert_eq!(event.event.seq, seen, "followed once and in order");
        }
    }
    writers.join_all().await;
    killer.await.unwrap();
    let found = postgres.query(&url, "SELECT count(*), count(DISTINCT id), max(seq) FROM events");
    assert_eq!(found.trim(), format!("{all}|{all}|{all}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_not_made_twice() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let proxy = Proxy::to(postgres.port());
    let database = Database::new(DatabaseUrl::Postgres(proxy.url(&url))).unwrap();
    // Without a key: only the position keeps rows from being there twice.
    let writer = TableWriter::new(&database, people(true)).unwrap();
    let claim = writer.claim(&key(0), "worker").await.unwrap();
    let rows: Vec<_> = (0..100).map(|offset| person(offset, offset, "x")).collect();
    for round in 0..3 {
        let (from, to) = (round * 30, round * 30 + 30);
        let batch = || rows[from..to].to_vec();
        let next = i64::try_from(to).unwrap();
        proxy.lose_answer_to(b"COMMIT");
        let lost = writer.write(&key(0), &claim, batch(), next).await;
        assert!(matches!(lost, Err(WriteError::Unavailable(_))), "{lost:?}");
        assert_eq!(proxy.lost(), round + 1);
        // The same again; or cut another way, and claimed by somebody else.
        if round < 2 {
            assert_eq!(writer.write(&key(0), &claim, batch(), next).await, Ok(0));
        } else {
            let claim = writer.claim(&key(0), "another").await.unwrap();
            assert_eq!(claim.next_offset, Some(next));
            assert_eq!(writer.write(&key(0), &claim, rows[70..100].to_vec(), 100).await, Ok(10));
        }
    }
    let found = postgres.query(&url, "SELECT count(*), count(DISTINCT age) FROM people");
    assert_eq!(found.trim(), "100|100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_cut_off_is_fenced_when_it_comes_back() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let proxy = Proxy::to(postgres.port());
    let zombie = store(&proxy.url(&url));
    let old = claimed(&zombie, 0).await;
    zombie.write(&key(0), &old, events(0, 0..5), 5).await.unwrap();
    // The old owner is cut off, but not told: its next write hangs somewhere on its way.
    proxy.set(Traffic::Stands);
    let stalled = {
        let zombie = zombie.clone();
        tokio::spawn(async move { zombie.write(&key(0), &old, events(0, 5..10), 10).await })
    };
    let owner = store(&url);
    let new = claimed(&owner, 0).await;
    assert_eq!(new.next_offset, Some(5));
    owner.write(&key(0), &new, events(0, 5..7), 7).await.unwrap();
    proxy.set(Traffic::Flows);
    assert_eq!(stalled.await.unwrap(), Err(WriteError::Fenced));
    assert_eq!(postgres.query(&url, "SELECT count(*) FROM events").trim(), "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_waits_for_the_transaction_of_the_former_owner() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let owner = store(&url);
    let claim = claimed(&owner, 0).await;
    owner.write(&key(0), &claim, events(0, 0..5), 5).await.unwrap();
    // What a worker that was killed left behind: its last transaction, not yet committed.
    let mut former = sqlx::PgConnection::connect(&url).await.unwrap();
    let moved = "BEGIN; UPDATE floe_positions SET next_offset = 9";
    sqlx::raw_sql(moved).execute(&mut former).await.unwrap();
    let mut claiming = tokio::spawn(async move { claimed(&owner, 0).await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut claiming).await.is_err(), "it waits");
    sqlx::raw_sql("COMMIT").execute(&mut former).await.unwrap();
    assert_eq!(claiming.await.unwrap().next_offset, Some(9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_is_waited_for_without_haste() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let proxy = Proxy::to(postgres.port());
    proxy.set(Traffic::Refused);
    let store = store(&proxy.url(&url));
    assert_eq!(store.database().state(), ConnectionState::Unknown);
    store.database().connect_in_background();
    store.database().connect_in_background();
    let started = Instant::now();
    let mut writers = JoinSet::new();
    for partition in 0..4 {
        let store = store.clone();
        writers.spawn(async move { write_all(store, partition, 10).await });
    }
    loop {
        if let ConnectionState::Failing { attempts, error, .. } = store.database().state()
            && attempts >= 4
        {
            assert!(!error.is_empty());
            break;
        }
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(store.get("x").await, Err(StoreError::Unavailable(_))));
    let most = 5.0 * started.elapsed().as_secs_f64() + 2.0;
    assert!(proxy.seen() < most as usize, "{} attempts", proxy.seen());
    proxy.set(Traffic::Flows);
    writers.join_all().await;
    assert_eq!(store.database().state(), ConnectionState::Connected);
    assert_eq!(postgres.query(&url, "SELECT count(*) FROM events").trim(), "40");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_noticed_without_traffic() {
    let postgres = Postgres::shared();
    let proxy = Proxy::to(postgres.port());
    let database = Database::new(DatabaseUrl::Postgres(proxy.url(&postgres.database()))).unwrap();
    database.connect_in_background();
    for (traffic, connected) in [(Traffic::Flows, true), (Traffic::Refused, false), (Traffic::Flows, true)] {
        proxy.set(traffic);
        let started = Instant::now();
        while (database.state() == ConnectionState::Connected) != connected {
            assert!(started.elapsed() < PATIENCE, "{:?}", database.state());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    database.close().await;
}

#[tokio::test]
async fn what_is_wrong_with_the_login_is_told_without_the_password() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let place = url.rsplit_once('@').unwrap().1;
    for wrong in [
        format!("postgres://nobody:canary@{place}"),
        format!("postgres://postgres:canary@{place}-not-there"),
        "postgres://floe:canary@127.0.0.1:1/x".to_owned(),
        "postgres://floe:canary@host.invalid/x".to_owned(),
        "postgres://floe:canary@127.0.0.1:99999/x".to_owned(),
        "postgres://floe:canary@127.0.0.1/x?sslmode=canary".to_owned(),
    ] {
        let database = match Database::new(DatabaseUrl::Postgres(wrong.clone())) {
            Ok(database) => database,
            Err(why) => {
                assert!(!why.contains("canary") || wrong.contains("sslmode"), "{why}");
                continue;
            }
        };
        let store = EventStore::new(database, None).unwrap();
        let failed = store.claim(&key(0), "worker").await.unwrap_err();
        let shown = format!("{failed} {failed:?} {store:?} {:?}", store.database().state());
        assert!(!shown.contains("canary"), "{shown}");
        let refused = wrong.contains(place) && !wrong.contains("not-there");
        assert!(!refused || matches!(failed, StoreError::Refused(_)), "{failed}");
    }
}

#[tokio::test]
async fn columns_of_other_types_take_what_fits() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let made = "CREATE SCHEMA shop; CREATE TABLE shop.sale (id uuid, price numeric(8,2), code varchar(3), \
                paid timestamp, note json, n smallint, \
                CONSTRAINT late CHECK (n < 100), UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)";
    postgres.query(&url, made);
    let shape = TableShape {
        name: "shop.sale".into(),
        columns: [
            ("id", ColumnType::Text),
            ("price", ColumnType::Text),
            ("code", ColumnType::Text),
            ("n", ColumnType::Integer),
        ]
        .map(|(name, of)| (name.to_owned(), of))
        .into(),
        create: false,
        key: Vec::new(),
    };
    let database = Database::new(DatabaseUrl::Postgres(url.clone())).unwrap();
    let writer = TableWriter::new(&database, shape).unwrap();
    let claim = writer.claim(&key(0), "worker").await.unwrap();
    let row = |offset: i64, id: &str, price: &str, code: &str, n: i64| {
        let text = |text: &str| Cell::Text(text.into());
        Row { offset, index: 0, cells: vec![text(id), text(price), text(code), Cell::Integer(n)] }
    };
    let id = |n: u8| format!("00000000-0000-0000-0000-0000000000{n:02}");
    let rows = vec![
        row(0, &id(0), "12.50", "abc", 1),
        row(1, "no uuid", "1", "a", 1),
        row(2, &id(2), "dear", "a", 1),
        row(3, &id(3), "1", "too long", 1),
        row(4, &id(4), "1", "a", 70_000),
        row(5, &id(5), "1", "a", 100),
        row(6, &id(0), "1", "a", 1),
        row(7, &id(7), "1", "a", 99),
    ];
    let refused = writer.write(&key(0), &claim, rows.clone(), 8).await;
    let Err(WriteError::Rejected(rejected)) = refused else { panic!("{refused:?}") };
    let places: Vec<_> = rejected.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [1, 2, 3, 4, 5, 6], "{rejected:?}");
    let kept = vec![rows[0].clone(), rows[7].clone()];
    assert_eq!(writer.write(&key(0), &claim, kept, 8).await, Ok(2));
    assert_eq!(postgres.query(&url, "SELECT count(*), sum(price) FROM shop.sale").trim(), "2|13.50");
}
