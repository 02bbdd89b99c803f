//! Who shall own which partition: even, and with as few moves as that allows.

/// One topic as its partitions are owned, and as they shall be.
#[derive(Debug)]
pub(super) struct TopicPlan {
    /// The members that want the topic, ascending; indices below the number of all members.
    pub(super) members: Vec<u32>,
    /// The owner of each partition: before, the present one; afterwards, the one it shall have.
    pub(super) owners: Vec<Option<u32>>,
    /// The present owners, while `owners` is being changed.
    before: Vec<Option<u32>>,
}

/// What each member has: of the topic at hand, and of all topics.
struct Loads {
    here: Vec<usize>,
    total: Vec<usize>,
}

impl TopicPlan {
    /// A plan to be balanced.
    pub(super) fn new(members: Vec<u32>, owners: Vec<Option<u32>>) -> Self {
        Self { members, before: owners.clone(), owners }
    }

    /// How many partitions each member gets at least, and how many members get one more.
    fn shares(&self) -> (usize, usize) {
        let members = self.members.len().max(1);
        (self.owners.len() / members, self.owners.len() % members)
    }
}

/// Plans all topics. Of each, every member that wants it gets as many partitions as any other, give or take one; who gets
/// the one more is chosen so that the sums over all topics are as even. Present owners keep what these rules leave them.
pub(super) fn balance(topics: &mut [TopicPlan], members: usize) {
    let mut loads = Loads { here: vec![0; members], total: vec![0; members] };
    for topic in topics.iter_mut() {
        let free = keep(topic, &mut loads);
        hand_out(topic, free, &mut loads);
        for &m in &topic.members {
            loads.total[m as usize] += loads.here[m as usize];
        }
    }
    // Each move makes the totals more even, so this comes to an end. When all want the same topics, as long as two
    // totals differ by two or more there is a topic of which only the one with more has one more.
    let mut moved = true;
    while moved {
        moved = false;
        for topic in topics.iter_mut() {
            moved |= even_out(topic, &mut loads);
        }
    }
}

/// Leaves present owners what they may keep, and answers the partitions that need another owner.
fn keep(topic: &mut TopicPlan, loads: &mut Loads) -> Vec<usize> {
    let (share, mut extras) = topic.shares();
    for &m in &topic.members {
        loads.here[m as usize] = 0;
    }
    let mut free = Vec::new();
    for (partition, owner) in topic.owners.iter_mut().enumerate() {
        let kept = owner.filter(|o| topic.members.binary_search(o).is_ok()).filter(|&o| {
            let extra = loads.here[o as usize] == share && extras > 0;
            extras -= usize::from(extra);
            extra || loads.here[o as usize] < share
        });
        match kept {
            Some(o) => loads.here[o as usize] += 1,
            None => free.push(partition),
        }
        *owner = kept;
    }
    free
}

/// Gives away what is free: to those below their share first, then to those with the least in all.
fn hand_out(topic: &mut TopicPlan, free: Vec<usize>, loads: &mut Loads) {
    let (share, _) = topic.shares();
    let mut takers: Vec<u32> = Vec::with_capacity(free.len());
    for &m in &topic.members {
        takers.extend(std::iter::repeat_n(m, share.saturating_sub(loads.here[m as usize])));
    }
    let mut others: Vec<u32> =
        topic.members.iter().copied().filter(|&m| loads.here[m as usize] <= share).collect();
    others.sort_by_key(|&m| (loads.total[m as usize], m));
    for (partition, taker) in free.into_iter().zip(takers.into_iter().chain(others)) {
        loads.here[taker as usize] += 1;
        topic.owners[partition] = Some(taker);
    }
}

/// Moves the one more of this topic from members with much in all to members with little. Whether anything moved.
fn even_out(topic: &mut TopicPlan, loads: &mut Loads) -> bool {
    let (share, extras) = topic.shares();
    if extras == 0 {
        return false;
    }
    for &m in &topic.members {
        loads.here[m as usize] = 0;
    }
    for owner in topic.owners.iter().flatten() {
        loads.here[*owner as usize] += 1;
    }
    let mut any = false;
    loop {
        let (with, without): (Vec<u32>, Vec<u32>) =
            topic.members.iter().partition(|&&m| loads.here[m as usize] > share);
        let most = with.into_iter().max_by_key(|&m| loads.total[m as usize]);
        let least = without.into_iter().min_by_key(|&m| loads.total[m as usize]);
        let (Some(most), Some(least)) = (most, least) else { return any };
        if loads.total[most as usize] < loads.total[least as usize] + 2 {
            return any;
        }
        // Rather one that moves anyway than one that would have stayed.
        let partition = (0..topic.owners.len())
            .filter(|&p| topic.owners[p] == Some(most))
            .min_by_key(|&p| topic.before[p] == Some(most))
            .expect("who has one more than the share has one");
        topic.owners[partition] = Some(least);
        for load in [&mut loads.here, &mut loads.total] {
            load[most as usize] -= 1;
            load[least as usize] += 1;
        }
        any = true;
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    fn spread(of: impl Iterator<Item = usize> + Clone) -> usize {
        of.clone().max().unwrap_or(0) - of.min().unwrap_or(0)
    }

    fn counts(owners: &[Option<u32>], members: usize) -> Vec<usize> {
        (0..members).map(|m| owners.iter().filter(|o| **o == Some(m as u32)).count()).collect()
    }

    #[test]
    fn a_newcomer_gets_its_share_and_nothing_else_moves() {
        let owners: Vec<_> = (0..12).map(|p| Some(p % 3)).collect();
        let mut plan = [TopicPlan::new(vec![0, 1, 2, 3], owners.clone())];
        balance(&mut plan, 4);
        assert_eq!(counts(&plan[0].owners, 4), [3, 3, 3, 3]);
        let moved = plan[0].owners.iter().zip(&owners).filter(|(a, b)| a != b).count();
        assert_eq!(moved, 3);
    }

    #[test]
    fn what_is_even_stays() {
        let owners: Vec<_> = [2, 0, 1, 1, 0].map(Some).to_vec();
        let mut plan = [TopicPlan::new(vec![0, 1, 2], owners.clone())];
        balance(&mut plan, 3);
        assert_eq!(plan[0].owners, owners);
    }

    #[test]
    fn many_small_topics_are_spread_over_all() {
        let mut plan: Vec<_> = (0..10).map(|_| TopicPlan::new(vec![0, 1, 2], vec![Some(0)])).collect();
        balance(&mut plan, 3);
        let owners: Vec<_> = plan.iter().map(|t| t.owners[0]).collect();
        assert_eq!(spread(counts(&owners, 3).into_iter()), 1);
    }

    #[test]
    fn nobody_gets_what_nobody_wants() {
        let mut plan = [TopicPlan::new(vec![], vec![Some(0), None])];
        balance(&mut plan, 1);
        assert_eq!(plan[0].owners, [None, None]);
    }

    #[test]
    fn any_start_ends_even() {
        for seed in 0..500 {
            let mut rng = StdRng::seed_from_u64(seed);
            let members = rng.random_range(1..8);
            let same = rng.random_bool(0.5);
            let mut plan: Vec<_> = (0..rng.random_range(1..12))
                .map(|_| {
                    let wants = (0..members as u32).filter(|_| same || rng.random_bool(0.6)).collect();
                    let partitions = rng.random_range(1..20);
                    let owner = |_| rng.random_bool(0.8).then(|| rng.random_range(0..members as u32));
                    TopicPlan::new(wants, (0..partitions).map(owner).collect())
                })
                .collect();
            balance(&mut plan, members);
            let mut totals = vec![0; members];
            for topic in &plan {
                let counts = counts(&topic.owners, members);
                assert_eq!(
                    counts.iter().sum::<usize>(),
                    if topic.members.is_empty() { 0 } else { topic.owners.len() }
                );
                assert!(spread(topic.members.iter().map(|&m| counts[m as usize])) <= 1, "seed {seed}");
                assert!((0..members).all(|m| counts[m] == 0 || topic.members.contains(&(m as u32))));
                (0..members).for_each(|m| totals[m] += counts[m]);
            }
            assert!(!same || spread(totals.iter().copied()) <= 1, "seed {seed}: {totals:?}");
            // Balanced is balanced: a second time nothing moves.
            let mut again: Vec<_> =
                plan.iter().map(|t| TopicPlan::new(t.members.clone(), t.owners.clone())).collect();
            balance(&mut again, members);
            for (a, b) in again.iter().zip(&plan) {
                assert_eq!(a.owners, b.owners, "seed {seed}");
            }
        }
    }
}
