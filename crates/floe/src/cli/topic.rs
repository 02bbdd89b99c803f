//! `floe topic …`.

use clap::{Args, Subcommand};
use floe_load::{
    grouped,
    http::{Client, escape},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{OutputForm, Server, pair};
use crate::{exit, output::Output};

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Make topics.
    Create(CreateArgs),
    /// List all topics.
    #[command(alias = "ls")]
    List(ListArgs),
    /// Show topics with their partitions and settings.
    Describe(DescribeArgs),
    /// Change a topic: more partitions, other settings.
    Alter(AlterArgs),
    /// Delete topics with all their records.
    #[command(alias = "rm")]
    Delete(DeleteArgs),
}

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The topics' names.
    #[arg(required = true)]
    topics: Vec<String>,
    /// How many partitions each gets.
    #[arg(short, long, default_value_t = 1)]
    partitions: u32,
    /// A setting under Kafka's name, such as retention.ms=3600000; repeatable.
    #[arg(short = 'c', long = "config", value_name = "NAME=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[arg(long, value_enum, default_value_t)]
    output: OutputForm,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// The topics' names.
    #[arg(required = true)]
    topics: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    output: OutputForm,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct AlterArgs {
    /// The topic's name.
    topic: String,
    /// How many partitions it is to have; it can only grow.
    #[arg(short, long)]
    partitions: Option<u32>,
    /// A setting to change; repeatable.
    #[arg(short = 'c', long = "config", value_name = "NAME=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// A setting to put back to its default; repeatable.
    #[arg(long, value_name = "NAME")]
    delete_config: Vec<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The topics' names.
    #[arg(required = true)]
    topics: Vec<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Deserialize)]
struct Topics {
    topics: Vec<Summary>,
}

#[derive(Deserialize)]
struct Summary {
    name: String,
    partitions: u64,
    messages: u64,
    subscribers: u64,
}

impl TopicCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(args) => create(args).await,
            Self::List(args) => list(args).await,
            Self::Describe(args) => describe(args).await,
            Self::Alter(args) => alter(args).await,
            Self::Delete(args) => delete(args).await,
        }
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let config: Map<String, Value> =
        args.config.into_iter().map(|(name, value)| (name, value.into())).collect();
    let mut out = Output::stdout();
    for topic in &args.topics {
        let mut body = json!({ "name": topic, "partitions": args.partitions });
        if !config.is_empty() {
            body["config"] = config.clone().into();
        }
        client.call("POST", "/topics", body.to_string().as_bytes()).await?;
        out.data(format!("created {topic}\n").as_bytes())?;
    }
    Ok(out.flush()?)
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let mut out = Output::stdout();
    if args.output == OutputForm::Json {
        let answer = client.call("GET", "/topics", b"").await?;
        out.data(&answer.body)?;
        out.data(b"\n")?;
        return Ok(out.flush()?);
    }
    let topics: Topics = client.call_json("GET", "/topics", b"").await?;
    let heading = ["NAME", "PARTITIONS", "MESSAGES", "SUBSCRIBERS"].map(str::to_owned).to_vec();
    let rows = topics.topics.into_iter().map(|topic| {
        vec![topic.name, topic.partitions.to_string(), grouped(topic.messages), topic.subscribers.to_string()]
    });
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    out.table(&rows)?;
    Ok(out.flush()?)
}

async fn describe(args: DescribeArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let mut out = Output::stdout();
    for topic in &args.topics {
        let answer = client.call("GET", &path_of(topic), b"").await?;
        match args.output {
            OutputForm::Json => {
                out.data(&answer.body)?;
                out.data(b"\n")?;
            }
            OutputForm::Text => describe_one(&mut out, topic, &serde_json::from_slice(&answer.body)?)?,
        }
    }
    Ok(out.flush()?)
}

/// Prints a description; fields that a newer server adds are left out.
fn describe_one(out: &mut Output, topic: &str, description: &Value) -> anyhow::Result<()> {
    let number = |value: &Value, name: &str| {
        value[name].as_i64().map_or_else(|| "-".to_owned(), |number| number.to_string())
    };
    out.table(&[
        vec!["topic".to_owned(), topic.to_owned()],
        vec!["subscribers".to_owned(), number(description, "subscribers")],
    ])?;
    let names = description["groups"].as_array().into_iter().flatten();
    let names: Vec<_> =
        names.filter_map(|group| group.as_str().or_else(|| group["group"].as_str())).collect();
    if !names.is_empty() {
        out.table(&[vec!["groups".to_owned(), names.join(", ")]])?;
    }
    let columns = ["partition", "start", "end", "bytes", "leader"];
    let mut rows = vec![columns.map(str::to_uppercase).to_vec()];
    for partition in description["partitions"].as_array().into_iter().flatten() {
        let sized = |name: &&str| match *name {
            "bytes" => partition["bytes"]
                .as_i64()
                .or_else(|| partition["size"].as_i64())
                .map_or("-".to_owned(), |n| n.to_string()),
            name => number(partition, name),
        };
        rows.push(columns.iter().map(sized).collect());
    }
    out.line("")?;
    out.table(&rows)?;
    let mut rows = vec![vec!["SETTING".to_owned(), "VALUE".to_owned()]];
    for (name, value) in description["config"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rows.push(vec![name.clone(), value]);
    }
    out.line("")?;
    Ok(out.table(&rows)?)
}

async fn alter(args: AlterArgs) -> anyhow::Result<()> {
    let mut body = Map::new();
    if let Some(partitions) = args.partitions {
        body.insert("partitions".to_owned(), partitions.into());
    }
    let changed = args.config.into_iter().map(|(name, value)| (name, Value::from(value)));
    let config: Map<String, Value> =
        changed.chain(args.delete_config.into_iter().map(|name| (name, Value::Null))).collect();
    if !config.is_empty() {
        body.insert("config".to_owned(), config.into());
    }
    if body.is_empty() {
        return Err(exit::usage("nothing to change: give --partitions, --config or --delete-config"));
    }
    let mut client = args.server.client()?;
    client.call("PATCH", &path_of(&args.topic), Value::from(body).to_string().as_bytes()).await?;
    say(&format!("altered {}\n", args.topic))
}

async fn delete(args: DeleteArgs) -> anyhow::Result<()> {
    let mut client: Client = args.server.client()?;
    for topic in &args.topics {
        client.call("DELETE", &path_of(topic), b"").await?;
        say(&format!("deleted {topic}\n"))?;
    }
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    out.data(text.as_bytes())?;
    Ok(out.flush()?)
}

fn path_of(topic: &str) -> String {
    format!("/topics/{}", escape(topic))
}
