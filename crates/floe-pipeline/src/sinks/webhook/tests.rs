//! A name whose address changes between two requests.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::Router;
use tokio::net::TcpListener;

use super::*;
use crate::sinks::fields::Secret;

/// A receiver on an address of this machine, which counts what it gets and keeps no connection.
async fn receiver(ip: Ipv4Addr, port: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((ip, port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let app = Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { [("connection", "close")] }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    (port, count)
}

#[tokio::test]
async fn a_rebound_name_does_not_lead_to_a_forbidden_address() {
    // 127.0.0.2 stands for a public address, 127.0.0.1 for the metadata service behind it.
    let (public, inside) = (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST);
    let (port, taken) = receiver(public, 0).await;
    let (_, stolen) = receiver(inside, port).await;
    let allow = AllowPrivate::Networks(vec!["127.0.0.2".parse().unwrap()]);
    let asked = AtomicUsize::new(0);
    let guard = Guard::with_lookup(allow.clone(), move |_| {
        let address = if asked.fetch_add(1, Ordering::SeqCst) == 0 { public } else { inside };
        Box::pin(async move { Ok(vec![IpAddr::V4(address)]) })
    });
    let spec = WebhookSpec {
        url: Secret::new(format!("http://rebound.example:{port}/")),
        secret: Secrets::None,
        timeout: std::time::Duration::from_secs(30),
        connect_timeout: std::time::Duration::from_secs(30),
        headers: std::collections::BTreeMap::new(),
        allow_private: allow,
        batch: false,
    };
    let sink = WebhookSink::open_with(&spec, guard).unwrap();
    let key =
        PositionKey { log: "l".into(), pipeline: "p".into(), topic: "t".into(), topic_id: 1, partition: 0 };
    let record = Outgoing { offset: 0, index: 0, timestamp: 0, key: None, value: None, headers: vec![] };
    let batch = Batch { records: vec![record], next_offset: 1 };
    sink.claim(&key).deliver(&batch).await.unwrap();
    let error = sink.claim(&key).deliver(&batch).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Fatal(_)), "{error:?}");
    assert_eq!((taken.load(Ordering::SeqCst), stolen.load(Ordering::SeqCst)), (1, 0));
}
