//! The copy loop: writes groups of bytes into a prepared file and syncs each. The disk's own limit.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

const FILE_BYTES: u64 = 128 << 20;

/// What the loop reached.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) bytes_per_second: f64,
    pub(crate) sync_p50_ms: f64,
    pub(crate) sync_p99_ms: f64,
}

/// Writes groups of `group` bytes for this long; between two of them it rests, when `every` says so.
pub(crate) fn run(
    work: &Path,
    group: usize,
    duration: Duration,
    every: Option<Duration>,
) -> anyhow::Result<Copied> {
    let path = work.join("copy-loop");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..FILE_BYTES).step_by(1 << 20) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let bytes = vec![b'x'; group];
    let mut syncs = Histogram::<u64>::new(3)?;
    let (mut at, mut written) = (0, 0u64);
    let start = Instant::now();
    while start.elapsed() < duration {
        if at + group as u64 > FILE_BYTES {
            at = 0;
        }
        file.write_all_at(&bytes, at)?;
        let sync = Instant::now();
        file.sync_data()?;
        syncs.record(u64::try_from(sync.elapsed().as_micros())?)?;
        at += group as u64;
        written += group as u64;
        if let Some(every) = every {
            let next = start + every.mul_f64(syncs.len() as f64);
            #[expect(clippy::disallowed_methods, reason = "the pace is what is measured at")]
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(Copied {
        bytes_per_second: written as f64 / seconds,
        sync_p50_ms: syncs.value_at_quantile(0.5) as f64 / 1000.0,
        sync_p99_ms: syncs.value_at_quantile(0.99) as f64 / 1000.0,
    })
}
