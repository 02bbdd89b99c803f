//! `floe consume`: reads a topic by offset, or as a consumer group.

pub(crate) mod format;
mod group;
mod outage;
mod partitions;
pub(crate) mod place;
pub(crate) mod record;

use clap::Args;

use crate::{
    cli::{OutputForm, Server},
    exit,
    output::Output,
};
use format::Format;
use place::Place;
use record::Record;

#[derive(Args, Debug)]
pub(crate) struct ConsumeArgs {
    /// The topic.
    topic: String,
    /// End after so many records.
    #[arg(short = 'n', long = "num", value_name = "N")]
    count: Option<u64>,
    /// Where to start: start (the default), end, an offset, +N behind the start, -N before the end, @TIME.
    #[arg(short, long, value_name = "PLACE", value_parser = place::parse, allow_hyphen_values = true, conflicts_with = "group")]
    offset: Option<Place>,
    /// Read as this consumer group, which remembers how far it got.
    #[arg(short, long)]
    group: Option<String>,
    /// Only this partition.
    #[arg(short, long)]
    partition: Option<u32>,
    /// How a record is printed: kcat's tokens, such as '%k %v\n' (the default is the value and a line feed).
    #[arg(short = 'f', long, value_name = "FORMAT", value_parser = Format::parse, conflicts_with = "output")]
    format: Option<Format>,
    /// Wait for new records instead of ending behind the newest one.
    #[arg(long)]
    follow: bool,
    /// `json`: one JSON object a line, with everything that is known of the record.
    #[arg(long, value_enum, default_value_t)]
    output: OutputForm,
    #[command(flatten)]
    server: Server,
}

/// What is done with records that were read.
#[derive(Debug)]
struct Printer {
    topic: String,
    style: Style,
    left: Option<u64>,
    out: Output,
    line: Vec<u8>,
}

#[derive(Debug)]
enum Style {
    Format(Format),
    Json,
}

impl ConsumeArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let style = match (self.output, self.format) {
            (OutputForm::Json, _) => Style::Json,
            (OutputForm::Text, Some(format)) => Style::Format(format),
            (OutputForm::Text, None) => Style::Format(Format::parse("%v\\n").map_err(exit::usage)?),
        };
        let printer = Printer {
            topic: self.topic.clone(),
            style,
            left: self.count,
            out: Output::stdout(),
            line: Vec::new(),
        };
        let patience = if self.follow { Patience::Follow } else { Patience::UntilEnd };
        match self.group {
            Some(group) => {
                group::consume(&self.server, &self.topic, &group, self.partition, patience, printer).await
            }
            None => {
                let place = self.offset.unwrap_or(Place::Start);
                partitions::consume(&self.server, &self.topic, self.partition, &place, patience, printer)
                    .await
            }
        }
    }
}

/// What happens behind the newest record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// The end.
    UntilEnd,
    /// Waiting for more.
    Follow,
}

impl Printer {
    /// Prints a record given as the JSON of an answer; false when no more are wanted.
    fn print(&mut self, json: &str) -> anyhow::Result<bool> {
        if self.left == Some(0) {
            return Ok(false);
        }
        self.line.clear();
        match &self.style {
            Style::Json => {
                // A line break in JSON is never inside a string, so a blank says the same.
                self.line
                    .extend(json.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
                self.line.push(b'\n');
            }
            Style::Format(format) => {
                let (_, record) = Record::parse(json)?;
                format.write(&self.topic, &record, &mut self.line);
            }
        }
        self.out.data(&self.line)?;
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Ok(self.left != Some(0))
    }

    /// How many records are still wanted.
    fn left(&self) -> u64 {
        self.left.unwrap_or(u64::MAX)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }
}
