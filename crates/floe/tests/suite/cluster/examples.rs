//! The examples, run against the gateways as a reader runs them against one node.

use super::on_shared;
use crate::examples::{javascript_client, python_client, sees_its_own_event, take_the_tour};

/// They use the same topics, so one comes after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_and_the_clients_find_on_gateways_what_they_find_on_a_node() {
    on_shared(async |cluster| {
        for gateway in &cluster.gateways {
            take_the_tour(&gateway.url);
            sees_its_own_event(python_client(), &gateway.url);
            sees_its_own_event(javascript_client(), &gateway.url);
        }
    })
    .await;
}
