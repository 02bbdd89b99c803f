//! The right name for a wrong one.

/// The name of `known` that is most like `wrong`.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_ascii_lowercase();
    known.into_iter().min_by_key(|name| {
        // A name that is right but for where it stands (`addr` for `http.addr`) is nearer than its length says.
        let tail = name.rsplit('.').next().unwrap_or(name);
        let wrong_tail = wrong.rsplit('.').next().unwrap_or(&wrong);
        edits(&wrong, name).min(edits(wrong_tail, tail) + usize::from(wrong != *name))
    })
}

/// How many letters have to be put in, taken out or changed to make one text the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_edits() {
        for (a, b, distance) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "ab", 1),
            ("kitten", "sitting", 3),
            ("", "xyz", 3),
        ] {
            assert_eq!(edits(a, b), distance, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_name_is_the_one_meant() {
        let known = ["data_dir", "http.addr", "http.allowed_hosts", "journal.segment_bytes"];
        for (wrong, right) in [
            ("data-dir", "data_dir"),
            ("adr", "http.addr"),
            ("http.allowed_host", "http.allowed_hosts"),
            ("journal.segment.bytes", "journal.segment_bytes"),
            ("segmentbytes", "journal.segment_bytes"),
        ] {
            assert_eq!(nearest(wrong, known), Some(right), "{wrong}");
        }
    }
}
