//! Bounds of one record's steps.

/// Bytes of all values that come out of one record.
pub const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// Values that come out of one record.
pub const OUTPUTS_MAX: usize = 10_000;

/// Turns that the loops of one program may make for one record (each number of a `range`, each round of an `until`, each
/// item of a `.[]`).
pub const TURNS_MAX: u32 = 2_000_000;

/// Levels of nesting of a value, coming in or going out: parsers and printers call themselves for each.
pub(crate) const DEPTH_MAX: usize = 128;

/// Digits that follow each other in one number coming in: reading a longer one as an exact integer takes ever longer.
pub(crate) const DIGITS_MAX: usize = 1_000;

/// Bytes of one program's text.
pub(crate) const PROGRAM_BYTES_MAX: usize = 64 << 10;

/// Threads of one set of steps that may be given up.
pub(crate) const GIVEN_UP_MAX: usize = 3;

/// Stack of a thread. Only what is used takes memory; a value that a loop nested as deep as [`TURNS_MAX`] is freed level
/// by level on it.
pub(crate) const STACK_BYTES: usize = 512 << 20;

/// Faults of a value that are told.
pub(crate) const FAULTS_MAX: usize = 5;

/// Characters of an error that are told.
pub(crate) const TOLD_CHARS_MAX: usize = 200;
