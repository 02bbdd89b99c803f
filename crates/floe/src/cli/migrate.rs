//! `floe migrate`: a node's topics and groups into a Kafka cluster.

use clap::Args;
use floe_load::http::{Client, Target};
use floe_pipeline::{Log, RemoteLog};

use super::{CALL_TIMEOUT, pair};
use crate::{
    exit,
    migrate::{self, Migration, Resume},
};

#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The node whose records are copied.
    #[arg(long, value_name = "URL", env = "FLOE_URL", default_value = "http://127.0.0.1:8080")]
    from: String,
    /// The cluster they are copied to: host:port, several brokers separated by commas.
    #[arg(long, value_name = "BROKERS")]
    to: String,
    /// Only this topic; repeatable. All topics unless said otherwise.
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Replicas of the topics in the cluster; its own default unless said otherwise.
    #[arg(long, value_name = "COUNT")]
    replication_factor: Option<i32>,
    /// A property of the cluster's client, such as security.protocol=SASL_SSL; repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    kafka_client: Vec<(String, String)>,
    /// Go on where an earlier run ended: topics that are in the cluster already are continued.
    #[arg(long)]
    resume: bool,
    /// Say what would be copied, and copy nothing.
    #[arg(long)]
    dry_run: bool,
}

impl MigrateArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let target = Target::parse(&self.from).map_err(|error| exit::usage(format!("--from: {error}")))?;
        let node = RemoteLog::new(&self.from).map_err(|why| exit::usage(format!("--from: {why}")))?;
        let migration = Migration {
            client: Client::new(target, CALL_TIMEOUT),
            node: Log::Remote(node),
            topics: self.topic,
            resume: if self.resume { Resume::Allowed } else { Resume::Refused },
        };
        if self.dry_run {
            return migrate::plan(migration).await;
        }
        migrate::run(migration, &self.to, self.replication_factor, self.kafka_client).await
    }
}
