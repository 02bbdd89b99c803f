use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const SESSION: u64 = 1_000;

fn keys(topic: u64, partitions: impl IntoIterator<Item = u32>) -> Vec<PartitionKey> {
    partitions.into_iter().map(|p| (topic, p)).collect()
}

#[test]
fn a_partition_moves_only_when_its_owner_has_been_told() {
    let mut g = Members::new();
    let a = g.join("a", &[(1, 4)], SESSION, 0).unwrap();
    assert_eq!(a.assignment[..], keys(1, 0..4));
    let b = g.join("b", &[(1, 4)], SESSION, 0).unwrap();
    assert!(b.generation > a.generation);
    assert!(b.assignment.is_empty(), "a hasn't given up anything yet");
    assert_eq!(g.heartbeat(&b.member, 10).unwrap(), b);
    assert_eq!(g.owner((1, 3)), Some(a.member.as_str()));

    let a2 = g.heartbeat(&a.member, 20).unwrap();
    assert_eq!(a2.assignment[..], keys(1, 0..2));
    assert!(a2.generation > b.generation);
    assert_eq!(g.owner((1, 3)), None, "b doesn't know yet");
    let b2 = g.heartbeat(&b.member, 30).unwrap();
    assert_eq!(b2.assignment[..], keys(1, 2..4));
    assert_eq!(g.owner((1, 3)), Some(b.member.as_str()));
    assert_eq!(g.heartbeat(&a.member, 40).unwrap(), a2);
}

#[test]
fn a_silent_member_is_removed_after_its_session() {
    let mut g = Members::new();
    let a = g.join("a", &[(1, 2)], SESSION, 0).unwrap();
    let b = g.join("b", &[(1, 2)], 5 * SESSION, 0).unwrap();
    assert_eq!(g.next_deadline(), Some(SESSION));
    assert!(!g.expire(SESSION - 1));
    let b2 = g.heartbeat(&b.member, SESSION).unwrap();
    assert_eq!(b2.assignment[..], keys(1, 0..2));
    assert_eq!(g.heartbeat(&a.member, SESSION), Err(MembershipError::UnknownMember));
    assert_eq!(g.len(), 1);
}

#[test]
fn what_a_leaver_owned_is_free_at_once() {
    let mut g = Members::new();
    let a = g.join("a", &[(1, 2), (2, 1)], SESSION, 0).unwrap();
    g.leave(&a.member).unwrap();
    assert_eq!(g.leave(&a.member), Err(MembershipError::UnknownMember));
    assert!(g.is_empty() && g.topics.is_empty());
    let b = g.join("b", &[(1, 2)], SESSION, 0).unwrap();
    assert_eq!(b.assignment[..], keys(1, 0..2));
    assert!(b.generation > a.generation);
}

#[test]
fn a_member_acts_for_the_generation_it_was_told_of() {
    let mut g = Members::new();
    let a = g.join("a", &[(1, 2)], SESSION, 0).unwrap();
    let b = g.join("b", &[(1, 2)], SESSION, 0).unwrap();
    // The change doesn't reach back: a still owns everything, and may commit what it did.
    g.check(&a.member, a.generation, 0).unwrap();
    let a2 = g.heartbeat(&a.member, 0).unwrap();
    let stale = g.check(&a.member, a.generation, 0);
    assert_eq!(stale, Err(MembershipError::OtherGeneration { latest: a2.generation }));
    g.check(&a.member, a2.generation, 0).unwrap();
    assert_eq!(g.check(&b.member, b.generation, SESSION), Err(MembershipError::UnknownMember));
}

#[test]
fn topics_come_grow_and_go() {
    let mut g = Members::new();
    let a = g.join("a", &[(1, 1)], SESSION, 0).unwrap();
    g.grow_topic(1, 3);
    g.grow_topic(9, 3);
    assert_eq!(g.heartbeat(&a.member, 0).unwrap().assignment[..], keys(1, 0..3));
    let both = g.resubscribe(&a.member, &[(1, 3), (2, 1)], 0).unwrap();
    assert_eq!(both.assignment[..], [keys(1, 0..3), keys(2, 0..1)].concat());
    g.forget_topic(1);
    let left = g.heartbeat(&a.member, 0).unwrap();
    assert_eq!(left.assignment[..], keys(2, 0..1));
    assert!(left.generation > both.generation);
    assert!(g.resubscribe(&a.member, &[], 0).unwrap().assignment.is_empty());
}

#[test]
fn members_are_bounded_and_described() {
    let mut g = Members::new();
    for i in 0..MAX_MEMBERS {
        g.join(&format!("c{i}"), &[(1, 1)], SESSION, 5).unwrap();
    }
    assert_eq!(g.join("one more", &[(1, 1)], SESSION, 5), Err(MembershipError::Full));
    let views = g.describe(8);
    assert_eq!((views.len(), views[7].client_id.as_str(), views[7].last_seen_ms), (MAX_MEMBERS, "c7", 3));
    assert_eq!(views[0].assignment[..], keys(1, 0..1));
}

/// A client as it sees itself: it uses what it was last told until its session is over.
struct Client {
    told: Membership,
    topics: Vec<(u64, u32)>,
    heard: u64,
    silent: bool,
}

#[derive(Default)]
struct World {
    group: Members,
    clients: Vec<Client>,
    counts: BTreeMap<u64, u32>,
    now: u64,
}

impl World {
    fn topics(&self, mut wanted: impl FnMut(u64) -> bool) -> Vec<(u64, u32)> {
        self.counts.iter().filter(|(t, _)| wanted(**t)).map(|(&t, &n)| (t, n)).collect()
    }

    fn heartbeat(&mut self, i: usize) {
        let client = &mut self.clients[i];
        match self.group.heartbeat(&client.told.member, self.now) {
            Ok(told) => {
                assert!(told.generation >= client.told.generation);
                let same = told.generation == client.told.generation;
                assert!(!same || told == client.told, "an assignment changes with its generation");
                client.told = told;
                client.heard = self.now;
            }
            Err(_) => drop(self.clients.remove(i)),
        }
    }

    /// Nobody believes to own what another believes to own.
    fn assert_one_owner(&self, seed: u64) {
        let mut owned = HashMap::new();
        for client in self.clients.iter().filter(|c| c.heard + SESSION > self.now) {
            for &key in client.told.assignment.iter() {
                let other = owned.insert(key, &client.told.member);
                assert_eq!(other, None, "seed {seed}: {key:?} has two owners");
            }
        }
    }

    /// All is owned, by those who want it, evenly.
    fn assert_settled(&self, seed: u64) {
        assert!(self.clients.iter().all(|c| !c.silent), "seed {seed}: their sessions are over");
        for (&topic, &count) in &self.counts {
            let wanting = self.clients.iter().filter(|c| c.topics.iter().any(|t| t.0 == topic));
            let owned: Vec<_> =
                wanting.map(|c| c.told.assignment.iter().filter(|k| k.0 == topic).count()).collect();
            let Some(most) = owned.iter().max() else { continue };
            assert_eq!(owned.iter().sum::<usize>(), count as usize, "seed {seed}: topic {topic}");
            assert!(most - owned.iter().min().unwrap() <= 1, "seed {seed}: {owned:?}");
        }
        for client in &self.clients {
            let wants = |k: &&PartitionKey| client.topics.iter().any(|t| t.0 == k.0);
            assert_eq!(client.told.assignment.iter().filter(wants).count(), client.told.assignment.len());
        }
    }

    /// A client whose session is over stops.
    fn pass(&mut self, ms: u64) {
        self.now += ms;
        let now = self.now;
        self.clients.retain(|c| c.heard + SESSION > now);
    }

    fn step(&mut self, rng: &mut StdRng) {
        match rng.random_range(0..40) {
            0..3 if self.clients.len() < 9 => {
                let topics = self.topics(|_| rng.random_bool(0.7));
                let told = self.group.join("c", &topics, SESSION, self.now).unwrap();
                self.clients.push(Client { told, topics, heard: self.now, silent: false });
            }
            3 if !self.clients.is_empty() => {
                let gone = self.clients.swap_remove(rng.random_range(0..self.clients.len()));
                let _ = self.group.leave(&gone.told.member);
            }
            4 if !self.clients.is_empty() => {
                let i = rng.random_range(0..self.clients.len());
                self.clients[i].silent = true;
            }
            5 => {
                let topic = rng.random_range(1..6);
                let count = self.counts.entry(topic).or_insert(0);
                *count += rng.random_range(1..4);
                let count = *count;
                self.group.grow_topic(topic, count);
            }
            6 => {
                let topic = rng.random_range(1..6);
                self.counts.remove(&topic);
                self.group.forget_topic(topic);
                for client in &mut self.clients {
                    client.topics.retain(|t| t.0 != topic);
                    // A deleted topic's partitions are nobody's, whatever a client still believes.
                    client.told.assignment =
                        client.told.assignment.iter().copied().filter(|k| k.0 != topic).collect();
                    client.told.generation = 0;
                }
            }
            7 if !self.clients.is_empty() => {
                let i = rng.random_range(0..self.clients.len());
                let topics = self.topics(|_| rng.random_bool(0.7));
                let id = self.clients[i].told.member.clone();
                if let Ok(told) = self.group.resubscribe(&id, &topics, self.now) {
                    self.clients[i] = Client { told, topics, heard: self.now, silent: false };
                }
            }
            8 => drop(self.group.expire(self.now)),
            _ if !self.clients.is_empty() => {
                let i = rng.random_range(0..self.clients.len());
                if !self.clients[i].silent {
                    self.heartbeat(i);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn a_partition_never_has_two_owners_and_soon_has_one() {
    for seed in 0..150 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World { counts: BTreeMap::from([(1, 4), (2, 7), (3, 1)]), ..World::default() };
        for _ in 0..300 {
            world.pass(rng.random_range(0..80));
            world.step(&mut rng);
            world.assert_one_owner(seed);
        }
        // Whoever isn't silent goes on with heartbeats: a session and a few of them later all is settled.
        for _ in 0..SESSION / 250 + 3 {
            world.pass(250);
            for i in (0..world.clients.len()).rev() {
                if !world.clients[i].silent {
                    world.heartbeat(i);
                }
                world.assert_one_owner(seed);
            }
        }
        world.assert_settled(seed);
    }
}
