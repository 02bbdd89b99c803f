//! Reading back: holds the server to everything it acknowledged.
//!
//! The topic is read from where it ended before the run, partition by partition. Records that aren't of this run are
//! passed over. What must hold: every acknowledged record is there once; a record that failed is not; no value changed;
//! the records that one connection sent with one key (without a key: into one partition) are in the order of sending.
//! Records of unknown outcome may be there or not, but not twice; they are left out of the question of order, because
//! a request that was given up may still be stored after one that was sent later.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use anyhow::bail;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::{
    CRC_HEADER, ID_HEADER, RecordId,
    backoff::Backoff,
    encode::check_event,
    http::{CallError, Client},
    ledger::{Fate, Ledger},
    limits::{MAX_SETTLE, MAX_VERIFY_OUTAGE},
    record_id::RunId,
    report::grouped,
    topic::{PartitionBounds, ReadRecord, read_page, records_of},
};

/// Findings told one by one; the rest are only counted.
const MAX_EXAMPLES: usize = 10;

/// What reading back found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Records of this run that were read.
    pub read: u64,
    /// Acknowledged records that are not there.
    pub lost: u64,
    /// Records that are there more than once, counted once per repeat.
    pub repeated: u64,
    /// Records that are there before one that was sent earlier.
    pub reordered: u64,
    /// Records whose value is not what was sent.
    pub corrupted: u64,
    /// Records that are there though the server said they were not stored.
    pub stored_though_failed: u64,
    /// Records of unknown outcome that turned out to be stored.
    pub unknown_stored: u64,
    /// The first findings in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

/// What is held against what is read.
#[derive(Debug)]
pub(crate) struct Verifier {
    run: RunId,
    /// By connection: the fate of each of its records, and how often it was seen.
    sent: HashMap<u16, Vec<(Fate, u8)>>,
    /// By connection and key (or partition, without one): the newest counter seen.
    newest: HashMap<(u16, u64), u64>,
    missing: u64,
    found: Verification,
}

/// A record of this run as it was read.
#[derive(Debug, PartialEq, Eq)]
struct Sighting {
    id: RecordId,
    intact: bool,
}

impl Verification {
    /// Whether nothing was found that must not be.
    #[must_use]
    pub fn is_flawless(&self) -> bool {
        self.lost + self.repeated + self.reordered + self.corrupted + self.stored_though_failed == 0
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12} records: ", grouped(self.read))?;
        if self.is_flawless() {
            f.write_str("none lost, repeated, reordered or corrupted")?;
        } else {
            write!(
                f,
                "{} LOST, {} REPEATED, {} REORDERED, {} CORRUPTED, {} STORED THOUGH FAILED",
                self.lost, self.repeated, self.reordered, self.corrupted, self.stored_though_failed
            )?;
        }
        if self.unknown_stored > 0 {
            write!(f, " ({} of unknown outcome are stored)", grouped(self.unknown_stored))?;
        }
        self.examples.iter().try_for_each(|example| write!(f, "\n                 {example}"))
    }
}

impl Verifier {
    pub(crate) fn new(run: RunId, ledgers: Vec<Ledger>) -> Self {
        let fates = ledgers.iter().flat_map(|ledger| &ledger.fates);
        let missing = fates.filter(|fate| **fate == Fate::Acknowledged).count() as u64;
        let sent = ledgers
            .into_iter()
            .map(|ledger| (ledger.connection, ledger.fates.into_iter().map(|fate| (fate, 0)).collect()))
            .collect();
        Self { run, sent, newest: HashMap::new(), missing, found: Verification::default() }
    }

    /// Reads the whole topic from `from` on. Waits a while for acknowledged records that aren't readable yet.
    pub(crate) async fn read_back(
        mut self,
        client: &mut Client,
        topic: &str,
        from: &[PartitionBounds],
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<Verification> {
        let mut positions: BTreeMap<u32, i64> = from.iter().map(|at| (at.partition, at.end)).collect();
        let settled = Instant::now() + MAX_SETTLE;
        loop {
            let mut seen_any = false;
            for (partition, offset) in &mut positions {
                while self.read_some(client, topic, *partition, offset).await? {
                    seen_any = true;
                    progress(self.found.read);
                }
            }
            if !seen_any && (self.missing == 0 || Instant::now() >= settled) {
                return Ok(self.finish());
            }
            if !seen_any {
                sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Reads one page; false when there was nothing in it.
    async fn read_some(
        &mut self,
        client: &mut Client,
        topic: &str,
        partition: u32,
        offset: &mut i64,
    ) -> anyhow::Result<bool> {
        let page = patiently(client, topic, partition, *offset).await?;
        let records = records_of(&page)?;
        for record in &records {
            if record.partition != partition || record.offset < *offset {
                bail!(
                    "asked for partition {partition} from offset {offset}, got offset {} of partition {}",
                    record.offset,
                    record.partition
                );
            }
            *offset = record.offset + 1;
            self.see(record);
        }
        Ok(!records.is_empty())
    }

    fn see(&mut self, record: &ReadRecord<'_>) {
        let Some(sighting) = sighting_of(record).filter(|sighting| sighting.id.is_of(self.run)) else {
            return;
        };
        let (id, at) = (sighting.id, format!("partition {} offset {}", record.partition, record.offset));
        let records = self.sent.get_mut(&id.connection);
        let Some((fate, times)) = records.and_then(|records| records.get_mut(id.counter as usize)) else {
            self.found.corrupted += 1;
            return self.tell(format!("{id} at {at} was never sent"));
        };
        self.found.read += 1;
        *times = times.saturating_add(1);
        let (fate, times) = (*fate, *times);
        match (fate, times) {
            (Fate::Acknowledged, 1) => self.missing -= 1,
            (Fate::Failed, 1) => {
                self.found.stored_though_failed += 1;
                self.tell(format!("{id} at {at} is stored though the server said it is not"));
            }
            (Fate::Unknown, 1) => self.found.unknown_stored += 1,
            _ => {
                self.found.repeated += 1;
                self.tell(format!("{id} at {at} is there for the {times}. time"));
            }
        }
        if !sighting.intact {
            self.found.corrupted += 1;
            self.tell(format!("{id} at {at} has another value than was sent"));
        }
        if fate == Fate::Acknowledged && times == 1 {
            let newest = self.newest.entry((id.connection, lane_of(record))).or_insert(id.counter);
            if id.counter < *newest {
                let newest = *newest;
                self.found.reordered += 1;
                self.tell(format!("{id} at {at} is behind record {newest:010x} of its connection and key"));
            } else {
                *newest = id.counter;
            }
        }
    }

    fn finish(mut self) -> Verification {
        let mut lost: Vec<_> = self
            .sent
            .iter()
            .flat_map(|(connection, records)| {
                records
                    .iter()
                    .zip(0..)
                    .filter(|(record, _)| **record == (Fate::Acknowledged, 0))
                    .map(|(_, at)| (*connection, at))
            })
            .collect();
        lost.sort_unstable();
        self.found.lost = lost.len() as u64;
        for (connection, counter) in lost.into_iter().take(MAX_EXAMPLES) {
            self.tell(format!("{} was acknowledged and is not there", self.run.record(connection, counter)));
        }
        self.found
    }

    fn tell(&mut self, finding: String) {
        if self.found.examples.len() < MAX_EXAMPLES {
            self.found.examples.push(finding);
        }
    }
}

/// Reads a page, through outages of the server that aren't too long.
async fn patiently(
    client: &mut Client,
    topic: &str,
    partition: u32,
    offset: i64,
) -> anyhow::Result<bytes::Bytes> {
    let until = Instant::now() + MAX_VERIFY_OUTAGE;
    let mut backoff = Backoff::default();
    loop {
        match read_page(client, topic, partition, offset, 0).await {
            Ok(page) => return Ok(page),
            Err(CallError::Refused { status, detail, .. }) if status < 500 && status != 429 => bail!(detail),
            Err(error) if Instant::now() >= until => return Err(error.into()),
            Err(_) => sleep(backoff.next_pause()).await,
        }
    }
}

/// What keeps its order: the key, or the partition when there is none.
fn lane_of(record: &ReadRecord<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match record.key.map(RawValue::get).filter(|key| *key != "null") {
        Some(key) => key.hash(&mut hasher),
        None => record.partition.hash(&mut hasher),
    }
    hasher.finish()
}

/// Recognises a record of a verified run, by its headers or, at the door that has none, by its fields.
fn sighting_of(record: &ReadRecord<'_>) -> Option<Sighting> {
    let value = record.value.map_or("null", RawValue::get);
    let headers: serde_json::Value =
        record.headers.and_then(|headers| serde_json::from_str(headers.get()).ok())?;
    match headers.get(ID_HEADER).and_then(|id| id.as_str()) {
        Some(id) => {
            let crc = format!("{:08x}", crc32c::crc32c(value.as_bytes()));
            let intact = headers.get(CRC_HEADER).and_then(|crc| crc.as_str()) == Some(&crc);
            Some(Sighting { id: RecordId::parse(id)?, intact })
        }
        None => check_event(value).map(|(id, intact)| Sighting { id, intact }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Outcome;

    fn ledger(connection: u16, fates: &[Fate]) -> Ledger {
        Ledger { connection, fates: fates.to_vec() }
    }

    fn line(id: RecordId, partition: u32, offset: i64, key: &str, value: &str) -> String {
        let crc = crc32c::crc32c(b"{\"n\": 1}");
        format!(
            r#"{{"partition":{partition},"offset":{offset},"timestamp":"t","key":{key},"value":{value},"headers":{{"{ID_HEADER}":"{id}","{CRC_HEADER}":"{crc:08x}"}}}}"#
        )
    }

    /// Feeds `(connection, counter, key)` in this order, all in partition 0, all intact.
    fn verify(fates: &[Fate], seen: &[(u64, &str)]) -> Verification {
        let run = RunId::random();
        let mut verifier = Verifier::new(run, vec![ledger(1, fates)]);
        for ((counter, key), offset) in seen.iter().zip(0..) {
            let text = line(run.record(1, *counter), 0, offset, key, "{\"n\": 1}");
            verifier.see(&records_of(text.as_bytes()).unwrap()[0]);
        }
        verifier.finish()
    }

    const ACKED: Fate = Fate::Acknowledged;

    #[test]
    fn everything_acknowledged_once_and_in_order_is_flawless() {
        let found = verify(
            &[ACKED, ACKED, Fate::Failed, Fate::Unknown, Fate::Unknown],
            &[(0, "\"a\""), (1, "\"a\""), (3, "\"a\"")],
        );
        assert!(found.is_flawless(), "{found}");
        assert_eq!((found.read, found.unknown_stored), (3, 1));
    }

    #[test]
    fn what_is_missing_is_lost_only_when_it_was_acknowledged() {
        let found = verify(&[ACKED, Fate::Unknown, Fate::Failed], &[]);
        assert_eq!(
            found,
            Verification { lost: 1, examples: found.examples.clone(), ..Verification::default() }
        );
        assert!(found.examples[0].contains("0001-0000000000 was acknowledged"));
    }

    #[test]
    fn repeats_are_found_whatever_the_outcome_was() {
        assert_eq!(
            verify(&[ACKED, Fate::Unknown], &[(0, "1"), (1, "1"), (0, "1"), (1, "1"), (1, "1")]).repeated,
            3
        );
    }

    #[test]
    fn order_is_asked_for_within_a_key_and_not_across_keys() {
        assert_eq!(verify(&[ACKED; 3], &[(1, "\"a\""), (0, "\"b\""), (2, "\"b\"")]).reordered, 0);
        assert_eq!(verify(&[ACKED; 3], &[(1, "\"a\""), (0, "\"a\""), (2, "\"a\"")]).reordered, 1);
        assert_eq!(verify(&[ACKED; 2], &[(1, "null"), (0, "null")]).reordered, 1);
        assert_eq!(verify(&[Fate::Unknown, ACKED], &[(1, "null"), (0, "null")]).reordered, 0);
    }

    #[test]
    fn a_failed_record_must_not_be_there() {
        let found = verify(&[Fate::Failed], &[(0, "null")]);
        assert_eq!(found.stored_though_failed, 1);
        assert!(!found.is_flawless());
    }

    #[test]
    fn a_changed_value_is_corrupted_and_others_records_are_passed_over() {
        let run = RunId::random();
        let mut verifier = Verifier::new(run, vec![ledger(0, &[ACKED])]);
        for text in [
            line(run.record(0, 0), 0, 0, "null", "{\"n\":1}"),
            line(run.record(5, 0), 0, 1, "null", "{\"n\": 1}"),
            r#"{"partition":0,"offset":2,"timestamp":"t","value":1,"headers":{}}"#.to_owned(),
            r#"{"partition":0,"offset":3,"timestamp":"t","value":{"$base64":"/w=="}}"#.to_owned(),
            line(RunId::random().record(0, 0), 0, 4, "null", "1"),
        ] {
            verifier.see(&records_of(text.as_bytes()).unwrap()[0]);
        }
        let found = verifier.finish();
        assert_eq!((found.read, found.corrupted, found.lost), (1, 2, 0), "{found}");
    }

    #[test]
    fn a_page_is_read_line_by_line() {
        let page =
            format!("{}\n\n{{\"next\":\"x\"}}\n", line(RunId::random().record(0, 0), 3, 4, "\"k\"", "1"));
        assert_eq!(records_of(page.as_bytes()).unwrap().len(), 1);
        assert!(records_of(b"{\"partition\":0,").is_err());
    }

    #[test]
    fn an_outcome_is_a_fate() {
        assert_eq!(Fate::of(&Outcome::Unknown(String::new())), Fate::Unknown);
    }
}
