//! Batches written by Apache Kafka's own Java client (`kafka-clients` 3.9.0, `MemoryRecordsBuilder`), for tests.

/// Bytes from hexadecimal text.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Base offset 42, five records: key and value; null key; tombstone (older than the first record); empty key, empty
/// value and five headers (`content-type`, `h`=1, `h`=null, an empty name, `größe`); nothing at all.
pub(crate) fn mixed() -> Vec<u8> {
    unhex(concat!(
        "000000000000002a0000009affffffff025679dbe70000000000040000018bcfe568000000018bcfe56805ffffffff",
        "ffffffffffffffffffff000000051e000000046b310e7b226e223a317d0018000a02010c6e6f206b6579001600cf0f",
        "0408676f6e65010070000a0600000a18636f6e74656e742d74797065206170706c69636174696f6e2f6a736f6e0268",
        "023102680100000e6772c3b6c39f650400ff0c000a08010100"
    ))
}

/// [`mixed`] with LogAppendTime 1700000123456.
pub(crate) fn log_append_time() -> Vec<u8> {
    unhex(concat!(
        "000000000000002a0000009affffffff025b35c8930008000000040000018bcfe568000000018bcfe74a40ffffffff",
        "ffffffffffffffffffff000000051e000000046b310e7b226e223a317d0018000a02010c6e6f206b6579001600cf0f",
        "0408676f6e65010070000a0600000a18636f6e74656e742d74797065206170706c69636174696f6e2f6a736f6e0268",
        "023102680100000e6772c3b6c39f650400ff0c000a08010100"
    ))
}

/// [`mixed`] with base offset 0, gzip.
pub(crate) fn gzip() -> Vec<u8> {
    unhex(concat!(
        "0000000000000000000000aeffffffff02f12bbe460001000000040000018bcfe568000000018bcfe56805ffffffff",
        "ffffffffffffffffffff000000051f8b08000000000000ff9363606060c936e4ab56ca53b232ac659060e06262e4c9",
        "cb57c84ead64106338cfcfc2919e9f97cac850c0c0c5c6c0c025919c9f57929a57a25b525990aa9058509093999c58",
        "92999fa79f559c9fc794c164c894c1c8c0c0975e7478dbe1f9a92c0cff7918b83818191900d0b9443969000000"
    ))
}

/// One record `k`=`v` at timestamp 5 of producer 4711, epoch 3, sequence 2147483647, in a transaction.
pub(crate) fn idempotent() -> Vec<u8> {
    unhex(concat!(
        "00000000000000000000003affffffff02278a056a0010000000000000000000000005000000000000000500000000",
        "0000126700037fffffff0000000110000000026b027600"
    ))
}

/// Two records, `a`=`b` at timestamp 0 and `c`=`d` at 4000000000000: a delta beyond 32 bits.
pub(crate) fn wide_delta() -> Vec<u8> {
    unhex(concat!(
        "000000000000000000000049ffffffff02aff8398c0000000000010000000000000000000003a352944000ffffffff",
        "ffffffffffffffffffff000000021000000002610262001c008080a2a9eae801020263026400"
    ))
}

/// The marker that commits a transaction.
pub(crate) fn control() -> Vec<u8> {
    unhex(concat!(
        "00000000000000070000004200000000025fbeb0660030000000000000018bcfe568000000018bcfe5680000000000",
        "000000630001ffffffff000000012000000008000000010c00000000000000"
    ))
}
