//! The journal's behaviour through its public handle, on storage that forgets, fails and fills up.

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
