//! What survives when power or disk give out, tried on a disk in memory that forgets and fails as disks do.

mod damaged;
mod failing;
mod full;
mod held;
mod power;
mod workload;
