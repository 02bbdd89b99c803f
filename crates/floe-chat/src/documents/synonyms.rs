//! Other words for the same thing.
//!
//! Who asks doesn't know the words of who wrote: "how do I erase a message when the drive is full" is answered by a text
//! about deleting a record and a full disk. So a term of a question finds its synonyms too, at a part of their weight.
//! The list is one of computing in general, and short: each group is words that can stand for each other in most
//! sentences, abbreviations among them.

use std::{collections::HashMap, sync::LazyLock};

use super::terms::terms;

/// Words that stand for each other, a group a line.
const GROUPS: &str = "
    delete remove erase drop discard
    disk drive storage
    crash fail failure die dead kill killed break outage down unavailable unreachable
    error problem failure wrong
    start begin launch boot startup
    stop halt end quit shutdown
    resume continue
    retry repeat again
    replay redrive reprocess
    maximum max limit most
    minimum min least
    size large big length bytes
    configuration config configure settings option
    parameter param argument
    default unless
    keep retain retention
    message record event
    server node machine host
    client user consumer reader subscriber
    authentication authenticate auth login password key
    authorization permission allowed
    secret password credential
    tls ssl https encryption
    documentation docs document
    database db sql
    postgres postgresql
    kubernetes k8s
    environment env variable
    directory folder path
    write store save insert
    send publish post produce
    receive consume read get
    duplicate twice repeated
    lose lost loss missing
    corrupt corruption damage damaged
    checksum crc hash
    transform map change modify
    forbid forbidden refuse refused reject rejected deny
    allow permit support accept
    move migrate migration transfer
    deploy deployment install run
    monitor monitoring metrics
    fast quick quickly speed performance throughput rate
    slow lag behind delay latency
    memory ram
    create make new add
    show list display view
    url address endpoint route
    test try sample example
    request call query
    answer response reply
    version release
    increase scale grow
    copy backup snapshot
    number count
    reader subscriber follower watcher
    second seconds
    page documentation
";

/// The other terms of the groups that a term is of.
pub(super) fn synonyms(term: &str) -> &'static [String] {
    static SYNONYMS: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(table);
    SYNONYMS.get(term).map_or(&[], Vec::as_slice)
}

/// By term, the others of its groups.
fn table() -> HashMap<String, Vec<String>> {
    let mut table: HashMap<String, Vec<String>> = HashMap::new();
    for group in GROUPS.lines() {
        let group = terms(group);
        for term in &group {
            let others = table.entry(term.clone()).or_default();
            for other in &group {
                if other != term && !others.contains(other) {
                    others.push(other.clone());
                }
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_group_find_each_other_by_their_stems() {
        assert_eq!(synonyms("drive"), ["disk", "storag"]);
        assert!(synonyms("configur").contains(&"config".to_owned()));
        assert!(synonyms("penguin").is_empty());
    }

    #[test]
    fn every_group_has_several_words() {
        for group in GROUPS.lines().filter(|line| !line.trim().is_empty()) {
            assert!(terms(group).len() > 1, "{group}");
        }
    }
}
