//! The command line: what can be asked, and who answers.

mod check;
mod completions;
mod dlq;
mod group;
mod load;
mod migrate;
mod pipeline;
mod produce;
mod serve;
mod topic;

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use floe_load::http::{Client, Target};

use crate::{consume, demo, exit};

/// Events in fast, never lost, read live: one binary.
#[derive(Debug, Parser)]
#[command(name = "floe", version, about, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server.
    Serve(Box<serve::ServeArgs>),
    /// Make, list, describe, change and delete topics.
    #[command(alias = "topics", subcommand)]
    Topic(topic::TopicCommand),
    /// Write records from standard input, a line each.
    Produce(produce::ProduceArgs),
    /// Read records.
    Consume(consume::ConsumeArgs),
    /// List, describe, reset and delete consumer groups.
    #[command(alias = "groups", subcommand)]
    Group(group::GroupCommand),
    /// List, describe, pause and resume pipelines, and test their steps.
    #[command(alias = "pipelines", subcommand)]
    Pipeline(pipeline::PipelineCommand),
    /// List, show, redrive and discard dead letters: what pipelines could not deliver.
    #[command(alias = "dlqs", subcommand)]
    Dlq(dlq::DlqCommand),
    /// Put a server under load, and hold it to what it acknowledged.
    Load(Box<load::LoadArgs>),
    /// Copy a node's topics, records and groups' positions into a Kafka cluster, and compare both.
    Migrate(migrate::MigrateArgs),
    /// Verify a data directory or a configuration file.
    Check(check::CheckArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Show that nothing is lost when the server is killed in the middle.
    #[command(hide = true)]
    Demo(demo::DemoArgs),
}

/// The server a client command talks to.
#[derive(Args, Debug)]
pub(crate) struct Server {
    /// The server's address.
    #[arg(long, env = "FLOE_URL", default_value = "http://127.0.0.1:8080", global = true)]
    url: String,
}

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// For people.
    #[default]
    Text,
    /// As the server says it, a JSON document.
    Json,
}

/// How long a call may take, beyond what it asks the server to wait.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

impl Server {
    /// Where the server is.
    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        Target::parse(&self.url).map_err(|error| exit::usage(format!("--url: {error}")))
    }

    /// A client of the server.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(self.target()?, CALL_TIMEOUT))
    }
}

impl Cli {
    /// Does what was asked.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(args) => args.run().await,
            Command::Topic(command) => command.run().await,
            Command::Produce(args) => args.run().await,
            Command::Consume(args) => args.run().await,
            Command::Group(command) => command.run().await,
            Command::Pipeline(command) => command.run().await,
            Command::Dlq(command) => command.run().await,
            Command::Load(args) => args.run().await,
            Command::Migrate(args) => args.run().await,
            Command::Check(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Demo(args) => args.run().await,
        }
    }
}

/// Splits `name=value`; for clap.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected name=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn plural_nouns_and_short_flags_are_taken() {
        for line in [
            "floe topics list",
            "floe groups describe g",
            "floe consume t -n 10 -o -5 -p 0 -f %k --follow",
            "floe consume t -g g -n 3",
            "floe consume t -o @2026-01-31T10:00:00Z --output json",
            "floe produce t -k K -H a=b -f %v\\n",
            "floe group reset g --topic t --shift-by -3 --dry-run",
            "floe load --rate 10000/min --duration 60s --verify",
            "floe serve --http 127.0.0.1:0 --http [::1]:0 --ephemeral",
            "floe serve --services pipelines --server http://node:8080",
            "floe serve --engine kafka --kafka-bootstrap a:9092,b:9092",
            "floe migrate --to kafka:9092 --topic a --topic b --resume",
            "floe pipelines list",
            "floe pipeline test a.toml b.toml",
            "floe dlq list",
            "floe dlq redrive p 0-1 0-2 --dry-run --rate 5",
            "floe dlq discard p --all",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "floe",
            "floe topic",
            "floe consume",
            "floe load --rate fast",
            "floe group reset g --topic t",
            "floe dlq redrive p 0-1 --all",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn pairs_are_split_at_the_first_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(pair("=b").is_err() && pair("a").is_err());
    }
}
