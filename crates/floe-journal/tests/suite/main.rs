//! The journal's behaviour through its public handle, on storage that forgets, fails and fills up.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops where it fails, and says how much it did"
)]

mod crash_states;
mod damaged_files;
mod failing_disk;
mod full_disk;
mod golden_bytes;
mod lost_groups;
mod model;
mod random_run;
mod reading;
mod recycling;
mod rig;
mod scrubbing;
mod storage_contract;
