//! `floe group …`.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use floe_load::{
    http::{Client, escape},
    topic::{PartitionBounds, bounds},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{OutputForm, Server};
use crate::{
    consume::place::{self, Place},
    output::{Output, tell},
};

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List all consumer groups.
    #[command(alias = "ls")]
    List(ListArgs),
    /// Show a group's members, positions and lag.
    Describe(DescribeArgs),
    /// Move a group's positions on a topic.
    Reset(ResetArgs),
    /// Delete groups with all their positions.
    #[command(alias = "rm")]
    Delete(DeleteArgs),
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
    /// The groups' names.
    #[arg(required = true)]
    groups: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    output: OutputForm,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The groups' names.
    #[arg(required = true)]
    groups: Vec<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Args, Debug)]
pub(crate) struct ResetArgs {
    /// The group's name.
    group: String,
    /// The topic on which its positions move.
    #[arg(long)]
    topic: String,
    /// Only this partition.
    #[arg(short, long)]
    partition: Option<u32>,
    #[command(flatten)]
    to: ResetTo,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Server,
}

/// Where the positions go.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ResetTo {
    /// To the oldest records kept.
    #[arg(long)]
    to_earliest: bool,
    /// Behind the newest records.
    #[arg(long)]
    to_latest: bool,
    /// To this offset.
    #[arg(long, value_name = "OFFSET")]
    to_offset: Option<u64>,
    /// To the first records at or after this time (RFC 3339, or epoch milliseconds).
    #[arg(long, value_name = "TIME", value_parser = place::time)]
    to_datetime: Option<String>,
    /// By so many records, back if negative.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Summary>,
}

#[derive(Deserialize)]
struct Summary {
    #[serde(alias = "name")]
    group: String,
    state: String,
    #[serde(default)]
    members: Value,
}

#[derive(Deserialize)]
struct Description {
    state: String,
    #[serde(default)]
    members: Vec<Value>,
    #[serde(default)]
    partitions: Vec<Lag>,
}

#[derive(Clone, Deserialize)]
struct Lag {
    topic: String,
    partition: u32,
    committed: i64,
    end: i64,
    lag: u64,
}

impl GroupCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(args) => list(&args).await,
            Self::Describe(args) => describe(&args).await,
            Self::Reset(args) => reset(&args).await,
            Self::Delete(args) => delete(&args).await,
        }
    }
}

async fn list(args: &ListArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let answer = client.call("GET", "/groups", b"").await?;
    let mut out = Output::stdout();
    if args.output == OutputForm::Json {
        out.data(&answer.body)?;
        out.data(b"\n")?;
        return Ok(out.flush()?);
    }
    let groups: Groups =
        serde_json::from_slice(&answer.body).context("the answer of /groups is not what was expected")?;
    let mut rows = vec![["GROUP", "STATE", "MEMBERS"].map(str::to_owned).to_vec()];
    for group in groups.groups {
        let members = group
            .members
            .as_array()
            .map_or_else(|| group.members.to_string(), |members| members.len().to_string());
        rows.push(vec![group.group, group.state, members]);
    }
    out.table(&rows)?;
    Ok(out.flush()?)
}

async fn describe(args: &DescribeArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let mut out = Output::stdout();
    for group in &args.groups {
        let answer = client.call("GET", &path_of(group), b"").await?;
        if args.output == OutputForm::Json {
            out.data(&answer.body)?;
            out.data(b"\n")?;
            continue;
        }
        let description: Description = serde_json::from_slice(&answer.body)
            .with_context(|| format!("the answer of {} is not what was expected", path_of(group)))?;
        print(&mut out, group, &description)?;
    }
    Ok(out.flush()?)
}

fn print(out: &mut Output, group: &str, description: &Description) -> anyhow::Result<()> {
    let lag: u64 = description.partitions.iter().map(|partition| partition.lag).sum();
    out.table(&[
        vec!["group".to_owned(), group.to_owned()],
        vec!["state".to_owned(), description.state.clone()],
        vec!["members".to_owned(), description.members.len().to_string()],
        vec!["lag".to_owned(), lag.to_string()],
    ])?;
    let mut rows = vec![["TOPIC", "PARTITION", "COMMITTED", "END", "LAG"].map(str::to_owned).to_vec()];
    for at in &description.partitions {
        let numbers = [i64::from(at.partition), at.committed, at.end].map(|number| number.to_string());
        rows.push([vec![at.topic.clone()], numbers.to_vec(), vec![at.lag.to_string()]].concat());
    }
    out.line("")?;
    Ok(out.table(&rows)?)
}

async fn delete(args: &DeleteArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let mut out = Output::stdout();
    for group in &args.groups {
        client.call("DELETE", &path_of(group), b"").await?;
        out.data(format!("deleted {group}\n").as_bytes())?;
    }
    Ok(out.flush()?)
}

/// A position that moves.
#[derive(Debug, PartialEq, Eq)]
struct Move {
    partition: u32,
    from: Option<i64>,
    to: i64,
}

async fn reset(args: &ResetArgs) -> anyhow::Result<()> {
    let mut client = args.server.client()?;
    let moves = plan(&mut client, args).await?;
    if !args.dry_run {
        apply(&mut client, args, &moves).await?;
    }
    let mut rows = vec![["TOPIC", "PARTITION", "FROM", "TO"].map(str::to_owned).to_vec()];
    for Move { partition, from, to } in moves {
        let from = from.map_or_else(|| "-".to_owned(), |from| from.to_string());
        rows.push(vec![args.topic.clone(), partition.to_string(), from, to.to_string()]);
    }
    let mut out = Output::stdout();
    out.table(&rows)?;
    out.flush()?;
    if args.dry_run {
        tell("nothing was changed (--dry-run)");
    }
    Ok(())
}

/// Works out where every partition's position goes.
async fn plan(client: &mut Client, args: &ResetArgs) -> anyhow::Result<Vec<Move>> {
    let bounds = bounds(client, &args.topic).await?;
    let committed = committed(client, &args.group, &args.topic).await?;
    let mut moves = Vec::new();
    for bound in bounds.into_iter().filter(|bound| args.partition.is_none_or(|only| bound.partition == only))
    {
        let from = committed.iter().find(|at| at.partition == bound.partition).map(|at| at.committed);
        let to = match args.to.place() {
            Some(place) => place::resolve(client, &args.topic, bound, &place).await?,
            // A partition in which the group has no position yet has none to shift.
            None => match from {
                Some(from) => shifted(from, args.to.shift_by.unwrap_or(0), bound),
                None => continue,
            },
        };
        moves.push(Move { partition: bound.partition, from, to });
    }
    if moves.is_empty() && args.to.place().is_none() {
        bail!("the group has no position there to shift");
    }
    if moves.is_empty() {
        bail!("topic '{}' has no partition {}", args.topic, args.partition.unwrap_or(0));
    }
    Ok(moves)
}

/// The group's positions on a topic; none when there is no such group yet.
async fn committed(client: &mut Client, group: &str, topic: &str) -> anyhow::Result<Vec<Lag>> {
    match client.call_json::<Description>("GET", &path_of(group), b"").await {
        Ok(description) => Ok(description.partitions.into_iter().filter(|at| at.topic == topic).collect()),
        Err(error) if error.status() == Some(404) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn shifted(from: i64, by: i64, bound: PartitionBounds) -> i64 {
    from.saturating_add(by).clamp(bound.start, bound.end)
}

async fn apply(client: &mut Client, args: &ResetArgs, moves: &[Move]) -> anyhow::Result<()> {
    let path = format!("{}/offsets", path_of(&args.group));
    for Move { partition, to, .. } in moves {
        let body = json!({ "topic": args.topic, "partition": partition, "to": to }).to_string();
        client.call("POST", &path, body.as_bytes()).await?;
    }
    Ok(())
}

impl ResetTo {
    /// The place asked for; none when positions are shifted.
    fn place(&self) -> Option<Place> {
        if self.to_earliest {
            return Some(Place::Start);
        }
        if self.to_latest {
            return Some(Place::End);
        }
        let offset = self.to_offset.map(|offset| Place::Offset(i64::try_from(offset).unwrap_or(i64::MAX)));
        offset.or_else(|| self.to_datetime.clone().map(Place::Time))
    }
}

fn path_of(group: &str) -> String {
    format!("/groups/{}", escape(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_stays_within_what_is_kept() {
        let bound = PartitionBounds { partition: 0, start: 5, end: 20 };
        assert_eq!(shifted(10, -3, bound), 7);
        assert_eq!(shifted(10, -30, bound), 5);
        assert_eq!(shifted(10, i64::MAX, bound), 20);
    }
}
