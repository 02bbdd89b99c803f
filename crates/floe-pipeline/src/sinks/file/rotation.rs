//! Names of files that were written full, and which of them are kept.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use time::{OffsetDateTime, format_description::StaticFormatDescription, macros::format_description};

/// Times in names sort as text.
const STAMP: StaticFormatDescription =
    format_description!("[year][month][day]T[hour][minute][second][subsecond digits:3]");
const STAMP_BYTES: usize = "20260131T100000000".len();

/// Files of one millisecond.
const SAME_STAMP_MAX: u32 = 1_000;

/// Renames the file to `name.20260131T100000000.ext` (with `-1`, `-2` … behind the time where that is taken), durably,
/// and deletes the oldest of such files beyond `keep`.
pub(super) fn rotate(path: &Path, keep: Option<usize>) -> io::Result<PathBuf> {
    let target = free_name(path)?;
    fs::rename(path, &target)?;
    sync_directory(path)?;
    if let Some(keep) = keep {
        delete_oldest(path, keep)?;
    }
    Ok(target)
}

/// Makes names in the file's directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn free_name(path: &Path) -> io::Result<PathBuf> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let stamp = OffsetDateTime::from(UNIX_EPOCH + since_epoch).format(STAMP).map_err(io::Error::other)?;
    let (stem, extension) = parts(path);
    for again in 0..SAME_STAMP_MAX {
        let again = if again == 0 { String::new() } else { format!("-{again}") };
        let name = directory(path).join(format!("{stem}.{stamp}{again}{extension}"));
        if !name.try_exists()? {
            return Ok(name);
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for the full file"))
}

fn delete_oldest(path: &Path, keep: usize) -> io::Result<()> {
    let mut full = Vec::new();
    for entry in fs::read_dir(directory(path))? {
        let entry = entry?;
        if let Some(order) = entry.file_name().to_str().and_then(|name| order_of(path, name)) {
            full.push((order, entry.path()));
        }
    }
    full.sort_unstable();
    let beyond = full.len().saturating_sub(keep);
    for (_, oldest) in &full[..beyond] {
        fs::remove_file(oldest)?;
    }
    if beyond > 0 { sync_directory(path) } else { Ok(()) }
}

/// Time and count of a name that [`rotate`] gave; `None` for all other files, which are never touched.
fn order_of(path: &Path, name: &str) -> Option<(String, u32)> {
    let (stem, extension) = parts(path);
    let middle = name.strip_prefix(&stem)?.strip_prefix('.')?.strip_suffix(&extension)?;
    let (stamp, again) = match middle.split_once('-') {
        Some((stamp, again)) => (stamp, again.parse().ok()?),
        None => (middle, 0),
    };
    let shape = stamp.len() == STAMP_BYTES
        && stamp
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 8 { byte == b'T' } else { byte.is_ascii_digit() });
    shape.then(|| (stamp.to_owned(), again))
}

/// The name before the last dot, and the rest with the dot.
fn parts(path: &Path) -> (String, String) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension =
        path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    (stem, extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_given_by_rotation_are_recognised() {
        let path = Path::new("/data/quakes.ndjson");
        let order = |name| order_of(path, name);
        assert_eq!(order("quakes.20260131T100000123.ndjson"), Some(("20260131T100000123".into(), 0)));
        assert_eq!(order("quakes.20260131T100000123-12.ndjson"), Some(("20260131T100000123".into(), 12)));
        for other in [
            "quakes.ndjson",
            "quakes.2026.ndjson",
            "quakes.20260131T100000123.json",
            "quakes.20260131T10000012x.ndjson",
            "quakes.20260131T100000123-x.ndjson",
            "other.20260131T100000123.ndjson",
            "quakes.20260131T100000123.ndjson.bak",
        ] {
            assert_eq!(order(other), None, "{other}");
        }
    }
}
