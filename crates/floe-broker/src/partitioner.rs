//! Which partition a key belongs to: exactly as Apache Kafka's clients decide, so that all doors agree.

/// The partition of a key among `partitions`: murmur2 of its bytes, made positive, modulo the count.
///
/// # Panics
/// When `partitions` is 0: a topic has at least one.
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    // Kafka's "positive" clears the sign bit, it doesn't negate.
    (murmur2(key).cast_unsigned() & 0x7fff_ffff) % partitions
}

/// `Utils.murmur2` of Apache Kafka: 32-bit MurmurHash2 with Kafka's seed.
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    // Java hashes arrays of less than 2 GiB, where the length fits; longer ones don't occur.
    let mut hash = SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by Utils.murmur2 and Utils.toPositive of Apache Kafka 3.9.0: key, hash, partition of 12, of 7.
    const KEYS: [(&str, i32, u32, u32); 30] = [
        ("", 275646681, 9, 2),
        ("a", -1563381124, 4, 5),
        ("ab", 316155434, 2, 0),
        ("abc", 479470107, 3, 4),
        ("abcd", -1323649548, 8, 5),
        ("21", -973932308, 0, 3),
        ("foobar", -790332482, 6, 0),
        ("a-little-bit-long-string", -985981536, 8, 1),
        ("a-little-bit-longer-string", -1486304829, 11, 0),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971, 5, 3),
        ("größe", 588164084, 8, 4),
        ("键", -1325745572, 0, 5),
        ("🦀", 1309741855, 7, 2),
        ("flight-1", 307188000, 0, 0),
        ("JFK", 531569365, 1, 5),
        ("LAX", 1527128204, 8, 0),
        ("ATL", -1647261917, 3, 2),
        ("ORD", 1930652851, 7, 1),
        ("DFW", -1036878679, 1, 5),
        ("DEN", 1710949583, 11, 0),
        ("SFO", 232264114, 10, 5),
        ("SEA", -734514080, 0, 3),
        ("MIA", 952444648, 4, 1),
        ("BOS", 390808569, 9, 4),
        ("LHR", 1185362571, 3, 1),
        ("FRA", -1391550328, 4, 2),
        ("CDG", 207958676, 8, 2),
        ("HND", 1094336863, 7, 4),
        ("ABE", -848343830, 6, 4),
        ("ZZZ", 479069302, 10, 5),
    ];

    // The same for the bytes 0, 1, 2, … 255, so many of them.
    const COUNTED: [(usize, i32); 7] = [
        (1, 375494588),
        (2, -2112343979),
        (3, 51419311),
        (5, -1916494074),
        (127, 963361774),
        (255, 1542706800),
        (256, -1948347274),
    ];

    #[test]
    fn keys_go_where_kafkas_clients_send_them() {
        for (key, hash, of_12, of_7) in KEYS {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
            assert_eq!(partition_for_key(key.as_bytes(), 12), of_12, "{key}");
            assert_eq!(partition_for_key(key.as_bytes(), 7), of_7, "{key}");
            assert_eq!(partition_for_key(key.as_bytes(), 1), 0);
        }
    }

    #[test]
    fn bytes_hash_as_in_java_whatever_their_sign_and_number() {
        let counted: Vec<u8> = (0..=255).collect();
        for (count, hash) in COUNTED {
            assert_eq!(murmur2(&counted[..count]), hash, "{count}");
        }
        assert_eq!(murmur2(&[b'x'; 10_000]), 1062706508);
        assert_eq!(murmur2(&[255, 254, 253]), 998637092);
        assert_eq!(murmur2(&[255, 255, 255, 255, 128]), -1702406959);
    }
}
