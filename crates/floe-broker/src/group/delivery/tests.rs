use std::collections::{BTreeMap, HashMap};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const P: PartitionKey = (1, 0);

fn take(d: &mut Deliveries, most: usize, now: u64) -> Claim {
    d.take(P, 0, 0, 100, most, now).unwrap()
}

#[test]
fn records_are_handed_out_once_and_committed_in_order() {
    let mut d = Deliveries::default();
    let (a, b) = (take(&mut d, 10, 0), take(&mut d, 10, 0));
    assert_eq!((a.range(), b.range()), (0..10, 10..20));
    assert!(!d.is_idle());
    let (a, b) = (d.open(vec![a], 50, 0).unwrap(), d.open(vec![b], 50, 0).unwrap());
    assert_eq!(d.open_count(), 2);
    // The second comes back first: nothing is committed as long as the first may be handed out again.
    assert_eq!(d.ack(&b, 1), Ok(vec![]));
    assert_eq!(d.ack(&a, 1), Ok(vec![(P, 20)]));
    assert_eq!(d.ack(&a, 1), Err(NotOpen));
    assert!(d.is_idle());
    assert_eq!(d.next_deadline(), None);
}

#[test]
fn what_is_not_acknowledged_in_time_is_handed_out_again_first() {
    let mut d = Deliveries::default();
    let claims = vec![take(&mut d, 10, 0)];
    let late = d.open(claims, 50, 0).unwrap();
    let claims = vec![take(&mut d, 10, 0)];
    let good = d.open(claims, 90, 0).unwrap();
    assert_eq!(d.next_deadline(), Some(50));
    assert!(!d.expire(49));
    assert_eq!(take(&mut d, 10, 50).range(), 0..10);
    assert_eq!(d.ack(&late, 50), Err(NotOpen));
    assert_eq!(d.ack(&good, 89), Ok(vec![]));
    assert_eq!(take(&mut d, 10, 90).range(), 20..30);
}

#[test]
fn a_claim_shrinks_to_what_was_read() {
    let mut d = Deliveries::default();
    let mut a = take(&mut d, 10, 0);
    let b = take(&mut d, 10, 0);
    d.shrink(&mut a, 4);
    assert_eq!(a.range(), 0..4);
    let rest = take(&mut d, 10, 0);
    assert_eq!(rest.range(), 4..10);
    d.give_back(vec![b]);
    assert_eq!(take(&mut d, 100, 0).range(), 10..100);
    assert_eq!(d.settle(vec![a]), [(P, 4)]);
    assert_eq!(d.settle(vec![rest]), [(P, 10)]);
}

#[test]
fn what_comes_back_in_pieces_is_handed_out_in_one() {
    let mut d = Deliveries::default();
    let [a, b, c, last] = [0; 4].map(|now| take(&mut d, 10, now));
    d.give_back(vec![a, c]);
    d.give_back(vec![b]);
    assert_eq!(take(&mut d, 100, 0).range(), 0..30);
    d.give_back(vec![last]);
    assert_eq!(take(&mut d, 100, 0).range(), 30..100);
}

#[test]
fn what_a_shrunken_claim_left_is_not_held_by_it() {
    let mut d = Deliveries::default();
    let mut a = take(&mut d, 10, 0);
    let b = take(&mut d, 10, 0);
    d.shrink(&mut a, 4);
    // A commit that came another way covers all that `a` still holds.
    let rest = d.take(P, 6, 0, 100, 10, 0).unwrap();
    assert_eq!(rest.range(), 6..10);
    assert_eq!(d.settle(vec![rest, b]), [(P, 20)]);
}

#[test]
fn retention_and_commits_elsewhere_move_the_start() {
    let mut d = Deliveries::default();
    let a = d.take(P, 3, 5, 100, 10, 0).unwrap();
    assert_eq!(a.range(), 5..15);
    d.give_back(vec![a]);
    assert_eq!(d.take(P, 3, 8, 9, 10, 0).unwrap().range(), 8..9);
    let b = d.take(P, 30, 0, 40, 10, 0).unwrap();
    assert_eq!(b.range(), 30..40);
    // What came back from below the new start is not handed out again.
    let c = d.take(P, 30, 0, 60, 10, 0).unwrap();
    d.give_back(vec![b]);
    assert_eq!(d.take(P, 35, 0, 60, 10, 0).unwrap().range(), 35..40);
    assert_eq!(d.settle(vec![c]), vec![]);
    assert_eq!(d.take(P, 50, 0, 50, 10, 0), None);
}

#[test]
fn a_reset_makes_older_deliveries_count_for_nothing() {
    let mut d = Deliveries::default();
    let claims = vec![take(&mut d, 10, 0), d.take((2, 0), 0, 0, 5, 10, 0).unwrap()];
    let both = d.open(claims, 50, 0).unwrap();
    let only = vec![take(&mut d, 10, 0)];
    let only = d.open(only, 50, 0).unwrap();
    let loose = take(&mut d, 10, 0);
    d.reset(P);
    assert_eq!(d.ack(&only, 1), Err(NotOpen));
    let again = take(&mut d, 30, 1);
    assert_eq!(again.range(), 0..30);
    d.give_back(vec![loose]);
    assert_eq!(take(&mut d, 10, 1).range(), 30..40, "the older claim frees nothing of the new one");
    assert_eq!(d.ack(&both, 1), Ok(vec![((2, 0), 5)]));
    assert_eq!(d.settle(vec![again]), [(P, 30)]);
}

#[test]
fn a_deleted_topic_is_forgotten_with_its_deliveries() {
    let mut d = Deliveries::default();
    let claims = vec![take(&mut d, 10, 0), d.take((1, 7), 0, 0, 5, 10, 0).unwrap()];
    d.open(claims, 50, 0).unwrap();
    d.forget_topic(1);
    assert!(d.is_idle());
    assert_eq!(d.next_deadline(), None);
    assert!(d.positions.is_empty());
}

#[test]
fn open_deliveries_are_bounded() {
    let mut d = Deliveries::default();
    for i in 0..MAX_OPEN_DELIVERIES as i64 {
        let claim = d.take(P, 0, 0, i + 1, 1, 0).unwrap();
        d.open(vec![claim], 10, 0).unwrap();
    }
    let claim = d.take(P, 0, 0, 1 << 40, 1, 0).unwrap();
    assert_eq!(d.open(vec![claim], 10, 0), Err(TooManyOpen));
    // Nothing is lost by it, and there is room when leases run out.
    let claim = d.take(P, 0, 0, 1 << 40, 1, 0).unwrap();
    assert_eq!(claim.range().start, MAX_OPEN_DELIVERIES as i64);
    d.open(vec![claim], 10, 10).unwrap();
    assert_eq!(d.open_count(), 1);
}

#[test]
fn ids_are_taken_as_they_were_given_only() {
    let mut d = Deliveries::default();
    let claims = vec![take(&mut d, 10, 0)];
    let id = d.open(claims, 50, 0).unwrap();
    for bad in ["", "+", &id[1..], &format!("+{}", &id[1..]), &format!("0{id}"), "é".repeat(16).as_str()] {
        assert_eq!(d.ack(bad, 0), Err(NotOpen), "{bad}");
    }
    d.ack(&id, 0).unwrap();
}

#[test]
fn partitions_at_rest_take_no_memory() {
    let mut d = Deliveries::default();
    for p in 0..1000 {
        assert_eq!(d.take((1, p), 5, 0, 5, 10, 0), None);
    }
    assert!(d.positions.is_empty());
    let claim = d.take(P, 5, 0, 6, 10, 0).unwrap();
    assert_eq!(d.settle(vec![claim]), [(P, 6)]);
    // The commit may not be known to the caller yet: the record must not be handed out again.
    assert_eq!(d.take(P, 5, 0, 6, 10, 0), None);
    assert_eq!(d.take(P, 6, 0, 6, 10, 0), None);
    assert!(d.positions.is_empty());
}

/// What became of each offset, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Claimed(u64),
    Delivered(u64),
    Acked,
}

/// The same rules, offset by offset.
#[derive(Default)]
struct Model {
    offsets: HashMap<PartitionKey, Vec<State>>,
    committed: HashMap<PartitionKey, i64>,
    log_start: HashMap<PartitionKey, i64>,
    /// Below this, offsets were given up: by retention or by a commit that came another way.
    floor: HashMap<PartitionKey, i64>,
    claims: BTreeMap<u64, Claim>,
    open: BTreeMap<u64, (String, u64, Vec<PartitionKey>)>,
    numbers: u64,
    now: u64,
}

impl Model {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn change(&mut self, from: State, to: State) {
        for offset in self.offsets.values_mut().flatten().filter(|s| **s == from) {
            *offset = to;
        }
    }

    fn take(&mut self, d: &mut Deliveries, key: PartitionKey, most: usize, high_watermark: usize) {
        self.expire();
        let (committed, log_start) = (self.committed[&key], self.log_start[&key]);
        let floor = committed.max(log_start);
        let first_free =
            (floor..high_watermark as i64).find(|&o| self.offsets[&key][o as usize] == State::Free);
        let claim = d.take(key, committed, log_start, high_watermark as i64, most, self.now);
        assert_eq!(claim.as_ref().map(|c| c.range().start), first_free, "{key:?}");
        let Some(claim) = claim else { return };
        assert!(claim.range().end - claim.range().start <= most as i64);
        let number = self.number();
        for offset in claim.range() {
            let state = &mut self.offsets.get_mut(&key).unwrap()[offset as usize];
            assert_eq!(*state, State::Free, "offset {offset} of {key:?} is handed out twice");
            *state = State::Claimed(number);
        }
        self.claims.insert(number, claim);
    }

    fn expire(&mut self) {
        while let Some((&number, _)) = self.open.iter().find(|(_, (_, deadline, _))| *deadline <= self.now) {
            self.open.remove(&number);
            self.change(State::Delivered(number), State::Free);
        }
    }

    fn open(&mut self, d: &mut Deliveries, lease: u64) {
        self.expire();
        let number = self.number();
        let taken = std::mem::take(&mut self.claims);
        taken.keys().for_each(|&c| self.change(State::Claimed(c), State::Delivered(number)));
        let keys = taken.values().map(Claim::key).collect();
        let id = d.open(taken.into_values().collect(), lease, self.now).unwrap();
        self.open.insert(number, (id, self.now + lease, keys));
    }

    fn ack(&mut self, d: &mut Deliveries, number: u64) {
        let (id, deadline, keys) = self.open[&number].clone();
        let answer = d.ack(&id, self.now);
        if deadline <= self.now {
            assert_eq!(answer, Err(NotOpen));
            return self.expire();
        }
        self.expire();
        self.open.remove(&number);
        self.change(State::Delivered(number), State::Acked);
        for (key, answered) in answer.unwrap() {
            assert!(keys.contains(&key));
            let committed = self.committed.get_mut(&key).unwrap();
            *committed = answered.max(*committed);
        }
        for key in keys {
            let (committed, floor) = (self.committed[&key], self.floor[&key]);
            let mut states = (0..).zip(&self.offsets[&key]);
            let lost = states.find(|&(o, s)| o >= floor && o < committed && *s != State::Acked);
            assert_eq!(lost, None, "{key:?}, committed up to {committed}");
            if committed > floor {
                let state = self.offsets[&key][committed as usize];
                assert_ne!(state, State::Acked, "{key:?} could be committed further than {committed}");
            }
        }
    }

    fn give_up(&mut self, key: PartitionKey, below: i64) {
        let floor = self.floor.get_mut(&key).unwrap();
        *floor = below.max(*floor);
    }
}

#[test]
fn no_offset_is_ever_held_twice_and_none_is_lost() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut d = Deliveries::default();
        let mut m = Model::default();
        let keys: Vec<PartitionKey> = (0..3).map(|p| (1 + u64::from(p) / 2, p)).collect();
        for &key in &keys {
            m.offsets.insert(key, vec![State::Free; 600]);
            m.committed.insert(key, 0);
            m.log_start.insert(key, 0);
            m.floor.insert(key, 0);
        }
        let mut high_watermark = 0;
        for _ in 0..400 {
            high_watermark = (high_watermark + rng.random_range(0..4)).min(500);
            m.now += rng.random_range(0..5);
            let key = keys[rng.random_range(0..keys.len())];
            match rng.random_range(0..16) {
                0..5 => m.take(&mut d, key, rng.random_range(1..12), high_watermark),
                5..7 => m.open(&mut d, rng.random_range(1..60)),
                7..9 if !m.open.is_empty() => {
                    let number = *m.open.keys().nth(rng.random_range(0..m.open.len())).unwrap();
                    m.ack(&mut d, number);
                }
                9 => {
                    if let Some((number, claim)) = m.claims.pop_first() {
                        m.change(State::Claimed(number), State::Free);
                        d.give_back(vec![claim]);
                    }
                }
                10 => {
                    if let Some((&number, claim)) = m.claims.iter_mut().next() {
                        let range = claim.range();
                        let end = rng.random_range(range.start + 1..=range.end);
                        d.shrink(claim, end);
                        for offset in end..range.end {
                            let state = &mut m.offsets.get_mut(&claim.key()).unwrap()[offset as usize];
                            assert_eq!(*state, State::Claimed(number));
                            *state = State::Free;
                        }
                    }
                }
                11 => {
                    let start = (m.log_start[&key] + rng.random_range(0..3)).min(high_watermark as i64);
                    m.log_start.insert(key, start);
                    m.give_up(key, start);
                }
                12 => {
                    let elsewhere = (m.committed[&key] + rng.random_range(0..9)).min(high_watermark as i64);
                    m.committed.insert(key, elsewhere);
                    m.give_up(key, elsewhere);
                }
                _ => {}
            }
            m.expire();
            d.expire(m.now);
            assert_eq!(d.open_count(), m.open.len(), "seed {seed}");
            assert_eq!(d.is_idle(), m.open.is_empty() && m.claims.is_empty());
        }
    }
}

#[test]
fn a_delivery_under_an_id_of_the_callers_ends_when_it_says_so() {
    let mut deliveries = Deliveries::default();
    let key = (1, 0);
    let claim = deliveries.take(key, 0, 0, 100, 10, 0).unwrap();
    deliveries.open_as(7, vec![claim]).unwrap();
    assert!(!deliveries.expire(u64::MAX - 1), "it doesn't run out");
    deliveries.shorten(7, key, 4);
    assert_eq!(deliveries.take(key, 0, 0, 100, 10, 0).unwrap().range(), 4..14, "the rest is free");
    assert_eq!(deliveries.ack(&format!("{:032x}", 7), 0).unwrap(), [(key, 4)]);
    let claim = deliveries.take(key, 4, 0, 100, 10, 0).unwrap();
    assert_eq!(claim.range(), 14..24);
    deliveries.open_as(8, vec![claim]).unwrap();
    assert!(deliveries.release(8) && !deliveries.release(8));
    let claim = deliveries.take(key, 4, 0, 100, 5, 0).unwrap();
    assert_eq!(claim.range(), 14..19, "what was released is free");
    deliveries.open_as(9, vec![claim]).unwrap();
    deliveries.shorten(9, key, 14);
    assert!(deliveries.remembers(key));
    assert_eq!(deliveries.take(key, 4, 0, 100, 5, 0).unwrap().range(), 14..19, "nothing was left of it");
}
