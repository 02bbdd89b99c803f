//! Reading by offset: one reader per partition, one printer.

use bytes::Bytes;
use floe_load::{
    http::Client,
    topic::{PartitionBounds, bounds, read_page, records_of},
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{Patience, Place, Printer, outage::Outage, place};
use crate::{cli::Server, exit};

/// Partitions read at once; a follower of more of them would need a connection for each.
const MAX_FOLLOWED_PARTITIONS: usize = 512;
/// Pages that wait to be printed. The readers wait.
const MAX_WAITING_PAGES: usize = 4;
/// How long the server is asked to wait for more records at a time.
const WAIT_MS: u64 = 20_000;

/// Reads a topic's partitions, or one of them, and prints what is there.
pub(super) async fn consume(
    server: &Server,
    topic: &str,
    partition: Option<u32>,
    place: &Place,
    patience: Patience,
    mut printer: Printer,
) -> anyhow::Result<()> {
    let mut client = server.client()?;
    let all = bounds(&mut client, topic).await?;
    let count = all.len();
    let wanted: Vec<_> =
        all.into_iter().filter(|bound| partition.is_none_or(|only| bound.partition == only)).collect();
    if wanted.is_empty() {
        anyhow::bail!(
            "topic '{topic}' has {count} partitions, and {} is not one of them",
            partition.unwrap_or(0)
        );
    }
    match patience {
        Patience::UntilEnd => {
            for bound in wanted {
                let from = place::resolve(&mut client, topic, bound, place).await?;
                if !read_to_end(&mut client, topic, bound, from, &mut printer).await? {
                    break;
                }
            }
            printer.flush()
        }
        Patience::Follow => {
            if wanted.len() > MAX_FOLLOWED_PARTITIONS {
                return Err(exit::usage(format!(
                    "at most {MAX_FOLLOWED_PARTITIONS} partitions can be followed: choose one with -p, or read as a group with -g"
                )));
            }
            let mut starts = Vec::new();
            for bound in wanted {
                starts.push((bound.partition, place::resolve(&mut client, topic, bound, place).await?));
            }
            follow(server, topic, starts, printer).await
        }
    }
}

/// Prints what one partition holds up to where it ended at the start; false when no more is wanted.
async fn read_to_end(
    client: &mut Client,
    topic: &str,
    bound: PartitionBounds,
    from: i64,
    printer: &mut Printer,
) -> anyhow::Result<bool> {
    let mut offset = from;
    while offset < bound.end {
        let page = read_page(client, topic, bound.partition, offset, 0).await?;
        let Some((next, wants_more)) = print_page(&page, printer)? else { break };
        offset = next;
        if !wants_more {
            return Ok(false);
        }
    }
    Ok(printer.left() > 0)
}

/// Prints a page; returns where to read on and whether more is wanted, or nothing if the page was empty.
fn print_page(page: &[u8], printer: &mut Printer) -> anyhow::Result<Option<(i64, bool)>> {
    let mut next = None;
    for line in std::str::from_utf8(page)?.lines().filter(|line| !line.is_empty()) {
        let Some(record) = records_of(line.as_bytes())?.pop() else { continue };
        let wants_more = printer.print(line)?;
        next = Some((record.offset + 1, wants_more));
        if !wants_more {
            break;
        }
    }
    Ok(next)
}

/// Prints everything that arrives, in the order of arrival; each partition's in its own order.
async fn follow(
    server: &Server,
    topic: &str,
    starts: Vec<(u32, i64)>,
    mut printer: Printer,
) -> anyhow::Result<()> {
    let (pages, mut arrived) = mpsc::channel(MAX_WAITING_PAGES);
    let mut readers = JoinSet::new();
    for (partition, offset) in starts {
        let reader = follow_partition(server.client()?, topic.to_owned(), partition, offset, pages.clone());
        readers.spawn(reader);
    }
    drop(pages);
    loop {
        tokio::select! {
            page = arrived.recv() => {
                let Some(page) = page else { break };
                let wants_more = print_page(&page, &mut printer)?.is_none_or(|(_, more)| more);
                if arrived.is_empty() {
                    printer.flush()?;
                }
                if !wants_more {
                    break;
                }
            }
            Some(ended) = readers.join_next() => ended??,
        }
    }
    printer.flush()
}

async fn follow_partition(
    mut client: Client,
    topic: String,
    partition: u32,
    mut offset: i64,
    pages: mpsc::Sender<Bytes>,
) -> anyhow::Result<()> {
    let mut outage = Outage::default();
    loop {
        match read_page(&mut client, &topic, partition, offset, WAIT_MS).await {
            Ok(page) => {
                outage.is_over();
                let Some(last) = records_of(&page)?.last().map(|record| record.offset) else { continue };
                offset = last + 1;
                if pages.send(page).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => outage.wait(error).await?,
        }
    }
}
