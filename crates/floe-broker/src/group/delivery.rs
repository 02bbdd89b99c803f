//! Handing out records of one group without a session: claimed, delivered under a lease, acknowledged or handed out again.
//!
//! An offset of a partition is, at any time, exactly one of: *free* (not handed out, or handed out in vain), *held* by one
//! claim or one open delivery, or *acknowledged*. All offsets from `next` on are free; below it, what is neither held nor
//! returned is acknowledged, so the group's committed position is the lowest offset that is held, returned or `next`.
//!
//! The life of a [`Claim`]: `take` it, read its records outside any lock, `shrink` it when fewer were read, then `open` a
//! delivery with it, or `settle` it at once, or `give_back` it. A claim that is dropped keeps its records from everybody
//! until the group is forgotten.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use super::PartitionKey;

/// How many deliveries of one group may be open at once.
pub const MAX_OPEN_DELIVERIES: usize = 10_000;

/// Offsets of one partition that nobody else gets. Consumed by [`Deliveries::open`], [`settle`](Deliveries::settle) or
/// [`give_back`](Deliveries::give_back).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a dropped claim keeps its records from everybody"]
pub struct Claim {
    key: PartitionKey,
    range: Range<i64>,
    /// The life of the position it was taken from: a reset ends it, and all claims with it.
    life: u64,
}

/// The delivery was acknowledged before, its lease ran out, or it never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the delivery is not open")]
pub struct NotOpen;

/// [`MAX_OPEN_DELIVERIES`] are open. The claims were given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_OPEN_DELIVERIES} deliveries are open")]
pub struct TooManyOpen;

/// The claims and open deliveries of one group.
#[derive(Debug, Default)]
pub struct Deliveries {
    positions: BTreeMap<PartitionKey, Position>,
    open: HashMap<u128, Lease>,
    /// Deadlines of all open deliveries, soonest first.
    deadlines: BTreeSet<(u64, u128)>,
    /// Claims that are neither opened nor given back.
    claims: usize,
    lives: u64,
}

/// One partition. Ranges are kept as start → end; held and returned ones don't overlap, and all end at or below `next`.
#[derive(Debug)]
struct Position {
    life: u64,
    next: i64,
    /// The group's committed position as far as it is known here.
    committed: i64,
    held: BTreeMap<i64, i64>,
    returned: BTreeMap<i64, i64>,
}

#[derive(Debug)]
struct Lease {
    deadline: u64,
    claims: Vec<Claim>,
}

impl Claim {
    /// The partition.
    #[must_use]
    pub fn key(&self) -> PartitionKey {
        self.key
    }

    /// The offsets.
    #[must_use]
    pub fn range(&self) -> Range<i64> {
        self.range.clone()
    }
}

impl Deliveries {
    /// Claims the next records of a partition: first those that came back, then new ones, from `committed` or `log_start`
    /// (whichever is later) up to `high_watermark`. One stretch of at most `max_records` offsets; a second call may give
    /// another one. `None` when there is nothing.
    pub fn take(
        &mut self,
        key: PartitionKey,
        committed: i64,
        log_start: i64,
        high_watermark: i64,
        max_records: usize,
        now_ms: u64,
    ) -> Option<Claim> {
        self.expire(now_ms);
        let lives = &mut self.lives;
        let position = self.positions.entry(key).or_insert_with(|| {
            *lives += 1;
            Position::new(*lives, committed)
        });
        position.committed = position.committed.max(committed);
        position.skip_to(committed.max(log_start));
        let most = i64::try_from(max_records).unwrap_or(i64::MAX);
        if let Some(range) = position.claim(high_watermark, most) {
            self.claims += 1;
            return Some(Claim { key, range, life: position.life });
        }
        // Nothing that the committed position doesn't say: not worth memory in a group of many idle partitions.
        if position.is_idle() && position.next <= committed {
            self.positions.remove(&key);
        }
        None
    }

    /// Ends a claim at `end`, when fewer records were read; the rest is free for the next one who takes.
    ///
    /// # Panics
    /// When nothing would be left of the claim (give it back instead) or `end` lies behind it.
    pub fn shrink(&mut self, claim: &mut Claim, end: i64) {
        assert!(claim.range.start < end && end <= claim.range.end, "{claim:?} can't end at {end}");
        let rest = end..claim.range.end;
        claim.range.end = end;
        if !rest.is_empty()
            && let Some(position) = self.position_of(claim)
        {
            position.held.insert(claim.range.start, end);
            position.give_back(rest);
        }
    }

    /// Opens a delivery with these claims, which has to be acknowledged within `lease_ms`. The id can't be guessed.
    pub fn open(&mut self, claims: Vec<Claim>, lease_ms: u64, now_ms: u64) -> Result<String, TooManyOpen> {
        self.expire(now_ms);
        if self.open.len() >= MAX_OPEN_DELIVERIES {
            self.give_back(claims);
            return Err(TooManyOpen);
        }
        self.claims -= claims.len();
        let deadline = now_ms.saturating_add(lease_ms);
        let id = rand::random();
        self.deadlines.insert((deadline, id));
        self.open.insert(id, Lease { deadline, claims });
        Ok(format!("{id:032x}"))
    }

    /// Opens a delivery under an id of the caller's that doesn't run out by itself: the caller [`release`](Self::release)s
    /// it. For those who decide elsewhere when a lease is over.
    pub fn open_as(&mut self, id: u128, claims: Vec<Claim>) -> Result<(), TooManyOpen> {
        if self.open.len() >= MAX_OPEN_DELIVERIES {
            self.give_back(claims);
            return Err(TooManyOpen);
        }
        self.claims -= claims.len();
        self.deadlines.insert((u64::MAX, id));
        if let Some(before) = self.open.insert(id, Lease { deadline: u64::MAX, claims }) {
            self.free(before.claims);
        }
        Ok(())
    }

    /// Closes an open delivery without acknowledging it: its records are free. Whether it was open.
    pub fn release(&mut self, id: u128) -> bool {
        let Some(lease) = self.open.remove(&id) else { return false };
        self.deadlines.remove(&(lease.deadline, id));
        self.free(lease.claims);
        true
    }

    /// Ends an open delivery's share of a partition at `end`, when fewer records were read; the rest is free for the next
    /// one who takes. With nothing left of it, the share is.
    pub fn shorten(&mut self, id: u128, key: PartitionKey, end: i64) {
        let Some(mut lease) = self.open.remove(&id) else { return };
        for claim in std::mem::take(&mut lease.claims) {
            let mut claim = claim;
            if claim.key == key && end <= claim.range.start {
                self.free(vec![claim]);
                continue;
            }
            if claim.key == key && end < claim.range.end {
                self.shrink(&mut claim, end);
            }
            lease.claims.push(claim);
        }
        self.open.insert(id, lease);
    }

    /// Whether a delivery is open.
    #[must_use]
    pub fn is_open(&self, id: u128) -> bool {
        self.open.contains_key(&id)
    }

    /// The committed position of a partition as far as it is known here.
    #[must_use]
    pub fn committed(&self, key: PartitionKey) -> Option<i64> {
        self.positions.get(&key).map(|position| position.committed)
    }

    /// Whether more is remembered of a partition than its committed position says.
    #[must_use]
    pub fn remembers(&self, key: PartitionKey) -> bool {
        self.positions.contains_key(&key)
    }

    /// Closes a delivery: its records are not handed out again. Answers the partitions whose committed position moved,
    /// with the new one: the lowest offset that isn't acknowledged. A commit that came another way is known here from the
    /// next [`take`](Self::take) on, so whoever stores the answer keeps the later of the two.
    pub fn ack(&mut self, id: &str, now_ms: u64) -> Result<Vec<(PartitionKey, i64)>, NotOpen> {
        self.expire(now_ms);
        // Exactly what `open` prints: `from_str_radix` takes a sign and capitals as well.
        let canonical = id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let id = canonical.then(|| u128::from_str_radix(id, 16).ok()).flatten().ok_or(NotOpen)?;
        let lease = self.open.remove(&id).ok_or(NotOpen)?;
        self.deadlines.remove(&(lease.deadline, id));
        Ok(self.acknowledge(lease.claims))
    }

    /// Acknowledges claims without a delivery, for readers that take records at most once. Answers like
    /// [`ack`](Self::ack).
    pub fn settle(&mut self, claims: Vec<Claim>) -> Vec<(PartitionKey, i64)> {
        self.claims -= claims.len();
        self.acknowledge(claims)
    }

    /// Frees the records of claims that will not be delivered.
    pub fn give_back(&mut self, claims: Vec<Claim>) {
        self.claims -= claims.len();
        self.free(claims);
    }

    /// Closes deliveries whose lease ran out; their records are free. Whether there were any.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        let mut any = false;
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now_ms
        {
            self.deadlines.pop_first();
            let lease = self.open.remove(&id).expect("every deadline is that of an open delivery");
            self.free(lease.claims);
            any = true;
        }
        any
    }

    /// When the next lease runs out.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Forgets a partition, whose committed position is set anew: all its offsets are free, and acknowledging what was
    /// handed out before moves nothing.
    pub fn reset(&mut self, key: PartitionKey) {
        self.positions.remove(&key);
        self.close_empty(|claim| claim.key == key);
    }

    /// Forgets all partitions of a topic, and deliveries of nothing else.
    pub fn forget_topic(&mut self, topic_id: u64) {
        let keys: Vec<_> =
            self.positions.range((topic_id, 0)..=(topic_id, u32::MAX)).map(|(&key, _)| key).collect();
        for key in keys {
            self.positions.remove(&key);
        }
        self.close_empty(|claim| claim.key.0 == topic_id);
    }

    /// Deliveries that are neither acknowledged nor expired.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Whether somebody holds records of a partition.
    #[must_use]
    pub fn is_held(&self, key: PartitionKey) -> bool {
        self.positions.get(&key).is_some_and(|position| !position.held.is_empty())
    }

    /// Whether nobody holds anything: no open delivery, and no claim on its way to one.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && self.claims == 0
    }

    fn position_of(&mut self, claim: &Claim) -> Option<&mut Position> {
        self.positions.get_mut(&claim.key).filter(|p| p.life == claim.life)
    }

    fn free(&mut self, claims: Vec<Claim>) {
        for claim in claims {
            if let Some(position) = self.position_of(&claim) {
                position.held.remove(&claim.range.start);
                position.give_back(claim.range);
            }
        }
    }

    fn acknowledge(&mut self, claims: Vec<Claim>) -> Vec<(PartitionKey, i64)> {
        let mut moved = BTreeMap::new();
        for claim in claims {
            let Some(position) = self.position_of(&claim) else { continue };
            position.held.remove(&claim.range.start);
            let lowest = position.lowest_unacknowledged();
            if lowest > position.committed {
                position.committed = lowest;
                moved.insert(claim.key, lowest);
            }
        }
        moved.into_iter().collect()
    }

    fn close_empty(&mut self, forgotten: impl Fn(&Claim) -> bool) {
        let deadlines = &mut self.deadlines;
        self.open.retain(|&id, lease| {
            lease.claims.retain(|claim| !forgotten(claim));
            if lease.claims.is_empty() {
                deadlines.remove(&(lease.deadline, id));
            }
            !lease.claims.is_empty()
        });
    }
}

impl Position {
    fn new(life: u64, next: i64) -> Self {
        Self { life, next, committed: next, held: BTreeMap::new(), returned: BTreeMap::new() }
    }

    /// Gives up free offsets below `floor`: they were committed elsewhere, or are no longer stored.
    fn skip_to(&mut self, floor: i64) {
        self.next = self.next.max(floor);
        while let Some(first) = self.returned.first_entry()
            && *first.key() < floor
        {
            let end = first.remove();
            if end > floor {
                self.returned.insert(floor, end);
            }
        }
    }

    fn claim(&mut self, high_watermark: i64, most: i64) -> Option<Range<i64>> {
        let range = match self.returned.first_key_value() {
            // Returned offsets were visible when they were handed out, so they are below the high watermark.
            Some((&start, &end)) => start..end.min(start.saturating_add(most)),
            None => self.next..high_watermark.min(self.next.saturating_add(most)),
        };
        if range.is_empty() {
            return None;
        }
        match self.returned.remove(&range.start) {
            Some(end) if end > range.end => drop(self.returned.insert(range.end, end)),
            Some(_) => {}
            None => self.next = range.end,
        }
        self.held.insert(range.start, range.end);
        Some(range)
    }

    /// Makes a range free that nobody holds any more. What reaches up to `next` becomes part of it.
    fn give_back(&mut self, mut range: Range<i64>) {
        if let Some((&start, &end)) = self.returned.range(..range.start).next_back()
            && end == range.start
        {
            self.returned.remove(&start);
            range.start = start;
        }
        if let Some(end) = self.returned.remove(&range.end) {
            range.end = end;
        }
        if range.end == self.next {
            self.next = range.start;
        } else {
            self.returned.insert(range.start, range.end);
        }
    }

    /// What was committed elsewhere counts as acknowledged, whoever still holds it.
    fn lowest_unacknowledged(&self) -> i64 {
        let first = |ranges: &BTreeMap<i64, i64>| {
            let before = ranges.range(..self.committed).next_back();
            let reaches = before.is_some_and(|(_, &end)| end > self.committed);
            let behind = ranges.range(self.committed..).next().map_or(self.next, |(&start, _)| start);
            if reaches { self.committed } else { behind }
        };
        first(&self.held).min(first(&self.returned))
    }

    fn is_idle(&self) -> bool {
        self.held.is_empty() && self.returned.is_empty()
    }
}

#[cfg(test)]
mod tests;
