//! What every storage promises, run on a real directory and on the faulty one.

use std::{io::ErrorKind, sync::Arc};

use floe_journal::{DirectoryLock, DiskStorage, FrameBuilder, LockError, Storage};
use floe_testkit::faulty::FaultyStorage;

use crate::rig::config;

fn on_each(run: impl Fn(Arc<dyn Storage>)) {
    run(Arc::new(FaultyStorage::new(1)));
    let directory = tempfile::tempdir().unwrap();
    run(Arc::new(DiskStorage::open(directory.path()).unwrap()));
    let directory = tempfile::tempdir().unwrap();
    run(Arc::new(DiskStorage::open_ephemeral(directory.path()).unwrap()));
}

fn names(storage: &dyn Storage) -> Vec<(String, u64)> {
    let mut files = storage.list().unwrap();
    files.sort();
    files
}

#[test]
fn a_file_holds_what_was_written_where_it_was_written() {
    on_each(|storage| {
        let file = storage.create("one").unwrap();
        file.write_at(&[b"hello, ", b"", b"world"], 4).unwrap();
        file.sync().unwrap();
        file.drop_cache().unwrap();
        let mut bytes = [9; 20];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 16);
        assert_eq!(&bytes[..17], b"\0\0\0\0hello, world\x09");
        assert_eq!(file.read_at(&mut bytes, 100).unwrap(), 0);
        file.allocate(32).unwrap();
        file.allocate(8).unwrap();
        assert_eq!(file.length().unwrap(), 32);
        file.truncate(9).unwrap();
        assert_eq!(storage.open("one").unwrap().length().unwrap(), 9);
        file.truncate(12).unwrap();
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 12);
        assert_eq!(&bytes[..12], b"\0\0\0\0hello\0\0\0");
    });
}

#[test]
fn names_come_go_and_move() {
    on_each(|storage| {
        storage.create("one").unwrap().write_at(&[b"1"], 0).unwrap();
        storage.create("two").unwrap().write_at(&[b"22"], 0).unwrap();
        storage.sync_directory().unwrap();
        assert_eq!(names(storage.as_ref()), [("one".to_owned(), 1), ("two".to_owned(), 2)]);
        let held = storage.open("one").unwrap();
        storage.rename("two", "one").unwrap();
        assert_eq!(names(storage.as_ref()), [("one".to_owned(), 2)]);
        assert_eq!(held.length().unwrap(), 1, "an open file stays what it is");
        storage.create("one").unwrap();
        assert_eq!(names(storage.as_ref()), [("one".to_owned(), 0)]);
        storage.remove("one").unwrap();
        assert!(names(storage.as_ref()).is_empty());
        for missing in [storage.open("one").map(drop), storage.rename("one", "two"), storage.remove("one")] {
            assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
        }
    });
}

#[test]
fn a_journal_runs_on_each_with_its_owners_on_threads() {
    on_each(run_on_threads);
    // once, a keeper that was late made a segment anew that the writer had already filled
    for round in 0..40 {
        run_on_threads(Arc::new(FaultyStorage::new(round)));
    }
}

fn run_on_threads(storage: Arc<dyn Storage>) {
    let mut opened = floe_journal::open(storage.clone(), &config(), 5, &mut |_| {}).unwrap();
    let mut keeper = opened.keeper;
    let keeping = std::thread::spawn(move || keeper.run());
    for offset in 0..200 {
        let mut frame = FrameBuilder::default();
        frame.records(1, 0, (offset, 0), 0, &[offset.to_le_bytes()[0]; 1_500]);
        opened.appender.append(frame, 0, false).unwrap();
        opened.syncer.sync().unwrap();
    }
    opened.journal.stop_keeper();
    keeping.join().unwrap();
    let again = floe_journal::open(storage, &config(), 6, &mut |_| {}).unwrap();
    assert_eq!(again.journal.range(1), Some((0, 199)));
    assert_eq!(again.journal.damage(), []);
    for offset in 0..200 {
        let batch = &again.journal.locate(1, offset, 0).unwrap()[0];
        assert_eq!(again.journal.read(batch).unwrap(), [offset.to_le_bytes()[0]; 1_500].as_slice());
    }
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let held = DirectoryLock::take(directory.path()).unwrap();
    match DirectoryLock::take(directory.path()) {
        Err(LockError::Held { pid }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(held);
    DirectoryLock::take(directory.path()).unwrap();
}
