//! What is stored, and what can be asked.

use std::time::Duration;

use floe_store::{CountBy, EventCount, EventFilter, ListOrder, WriteError};
use tokio::task::JoinSet;

use crate::stage::{Stage, claimed, event, events, key};

pub(crate) async fn an_id_is_stored_once(stage: &Stage) {
    let store = stage.store();
    let (one, two) = (claimed(&store, 0).await, claimed(&store, 1).await);
    let batch = vec![event(0, "a"), event(1, "b"), event(2, "a"), event(3, "c")];
    assert_eq!(store.write(&key(0), &one, batch, 4).await, Ok(3));
    assert_eq!(store.write(&key(1), &two, vec![event(0, "c"), event(1, "d"), event(2, "a")], 3).await, Ok(1));
    let all = store.page(&EventFilter::default(), ListOrder::OldestFirst, None, 10).await.unwrap().events;
    let found: Vec<_> =
        all.iter().map(|event| (event.seq, event.id.as_str(), event.partition, event.offset)).collect();
    assert_eq!(found, [(1, "a", 0, 0), (2, "b", 0, 1), (3, "c", 0, 3), (4, "d", 1, 1)]);
    let stored = store.get("d").await.unwrap().unwrap();
    assert_eq!(&stored.data[..], br#"{"x":  1}"#, "the text as it was sent");
    assert_eq!((stored.timestamp, stored.topic.as_str()), (1_769_853_600_001, "t"));
    assert!(stored.stored_at > stored.timestamp);
    assert_eq!(store.get("nothing").await, Ok(None));
    assert_eq!(store.get("n\0l").await, Ok(None));
}

pub(crate) async fn many_writers_make_one_order_without_gaps(stage: &Stage) {
    const EACH: i64 = 300;
    let mut writers = JoinSet::new();
    for partition in 0..6 {
        // Two processes' worth of connections.
        let store = stage.store();
        writers.spawn(async move {
            let claim = claimed(&store, partition).await;
            let mut from = 0;
            while from < EACH {
                let to = (from + 7 + i64::from(partition)).min(EACH);
                let mut batch = events(partition, from..to);
                // Every partition brings this one too.
                batch.push(event(to - 1, &format!("shared-{}", from / 50)));
                store.write(&key(partition), &claim, batch, to).await.unwrap();
                from = to;
            }
        });
    }
    let watcher = {
        let store = stage.store();
        tokio::spawn(async move {
            // What is readable is always whole: nothing comes in front of what was seen.
            let mut seen = 0;
            while seen < 6 * EACH {
                let page =
                    store.page(&EventFilter::default(), ListOrder::OldestFirst, Some(seen), 10_000).await;
                for event in page.unwrap().events {
                    seen += 1;
                    assert_eq!(event.seq, seen);
                }
                tokio::task::yield_now().await;
            }
        })
    };
    writers.join_all().await;
    watcher.await.unwrap();
    let whole = "SELECT count(*) = max(seq) AND count(DISTINCT id) = max(seq) AND min(seq) = 1 FROM events";
    assert!(matches!(stage.ask(whole).await.as_str(), "1" | "t"));
}

pub(crate) async fn listings_are_filtered_and_paged(stage: &Stage) {
    let store = stage.store();
    let claim = claimed(&store, 0).await;
    let batch = (0..20).map(|offset| {
        let mut event = event(offset, &format!("e{offset}"));
        event.event_type = (offset % 2 == 0).then(|| "even".to_owned());
        event.user_id = Some(format!("u{}", offset % 3));
        event
    });
    store.write(&key(0), &claim, batch.collect(), 20).await.unwrap();
    let page = async |filter: &EventFilter, order, cursor, limit| {
        let page = store.page(filter, order, cursor, limit).await.unwrap().events;
        page.into_iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    let (all, oldest, newest) = (EventFilter::default(), ListOrder::OldestFirst, ListOrder::NewestFirst);
    assert_eq!(page(&all, oldest, None, 3).await, [1, 2, 3]);
    assert_eq!(page(&all, oldest, Some(18), 3).await, [19, 20]);
    assert_eq!(page(&all, newest, None, 3).await, [20, 19, 18]);
    assert_eq!(page(&all, newest, Some(3), 3).await, [2, 1]);
    let even = EventFilter { event_type: Some("even".into()), ..EventFilter::default() };
    assert_eq!(page(&even, oldest, Some(3), 3).await, [5, 7, 9]);
    let start = 1_769_853_600_000;
    let narrow = EventFilter {
        event_type: Some("even".into()),
        user_id: Some("u0".into()),
        since: Some(start + 6),
        until: Some(start + 18),
    };
    assert_eq!(page(&narrow, oldest, None, 10).await, [7, 13]);
    let mut large = events(1, 0..6);
    large.iter_mut().for_each(|event| event.data = format!("\"{}\"", "x".repeat(1 << 20)).into());
    store.write(&key(1), &claimed(&store, 1).await, large, 6).await.unwrap();
    let first = store.page(&all, oldest, Some(20), 100).await.unwrap();
    assert!(first.events.len() < 6 && !first.whole, "bounded by bytes: {}", first.events.len());
    let rest = store.page(&all, oldest, first.events.last().map(|event| event.seq), 100).await.unwrap();
    assert!(first.events.len() + rest.events.len() == 6 && rest.whole);
    let odd = [
        EventFilter { user_id: Some("' OR true --".into()), ..EventFilter::default() },
        EventFilter { user_id: Some("\0".into()), ..EventFilter::default() },
        EventFilter { since: Some(i64::MAX), ..EventFilter::default() },
        EventFilter { until: Some(i64::MIN), ..EventFilter::default() },
    ];
    for filter in &odd {
        assert_eq!(page(filter, oldest, None, 10).await, [0; 0], "{filter:?}");
    }
}

pub(crate) async fn counts_are_made_by_name_and_span(stage: &Stage) {
    let store = stage.store();
    let claim = claimed(&store, 0).await;
    let times = [-1, 0, 59_999, 60_000, 60_001];
    let batch = times.iter().zip(0..).map(|(time, offset)| {
        let mut event = event(offset, &format!("e{offset}"));
        event.timestamp = *time;
        event.event_type = (offset != 4).then(|| "a".to_owned());
        event
    });
    store.write(&key(0), &claim, batch.collect(), 5).await.unwrap();
    let count = |name: Option<&str>, from, count| EventCount { name: name.map(str::to_owned), from, count };
    let all = EventFilter::default();
    let mut by_type = store.counts(&all, CountBy::EventType, None).await.unwrap();
    by_type.sort_by_key(|line| line.count);
    assert_eq!(by_type, [count(None, None, 1), count(Some("a"), None, 4)]);
    assert_eq!(store.counts(&all, CountBy::UserId, None).await.unwrap(), [count(Some("ann"), None, 5)]);
    let minutes = store.counts(&all, CountBy::UserId, Some(Duration::from_secs(60))).await.unwrap();
    let expected =
        [(-60_000, 1), (0, 2), (60_000, 2)].map(|(from, number)| count(Some("ann"), Some(from), number));
    assert_eq!(minutes, expected);
    let since = EventFilter { since: Some(0), ..EventFilter::default() };
    assert_eq!(store.counts(&since, CountBy::UserId, None).await.unwrap(), [count(Some("ann"), None, 4)]);
}

pub(crate) async fn an_erased_event_is_gone_and_its_number_with_it(stage: &Stage) {
    let store = stage.store();
    let claim = claimed(&store, 0).await;
    store.write(&key(0), &claim, events(0, 0..3), 3).await.unwrap();
    assert_eq!(store.delete("0-2").await, Ok(true));
    assert_eq!(store.delete("0-2").await, Ok(false));
    assert_eq!(store.delete("n\0l").await, Ok(false));
    assert_eq!(store.get("0-2").await, Ok(None));
    assert_eq!(store.write(&key(0), &claim, events(0, 0..3), 3).await, Ok(0), "it isn't stored again");
    assert_eq!(store.get("0-2").await, Ok(None));
    store.write(&key(0), &claim, events(0, 3..4), 4).await.unwrap();
    let next = store.get("0-3").await.unwrap().unwrap();
    assert_eq!(next.seq, 4, "a number isn't given twice, though it was the newest");
}

pub(crate) async fn events_that_cannot_be_stored_are_rejected(stage: &Stage) {
    let store = stage.store();
    let claim = claimed(&store, 0).await;
    let mut batch = events(0, 0..5);
    batch[1].id = "x".repeat(1_025);
    batch[2].timestamp = i64::MAX;
    batch[3].data = bytes::Bytes::from_static(b"\xff");
    batch[4].user_id = Some("x".repeat(1_024));
    let refused = store.write(&key(0), &claim, batch.clone(), 5).await;
    let Err(WriteError::Rejected(rejected)) = refused else { panic!("{refused:?}") };
    assert_eq!(rejected.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2, 3]);
    let kept = vec![batch[0].clone(), batch[4].clone()];
    assert!(store.write(&key(0), &claim, kept, 5).await.is_ok());
}
