//! The bytes on disk, pinned: a change here is a change of the format, and of `docs/journal-format.md`.

use floe_journal::FrameBuilder;
use floe_testkit::faulty::FaultyStorage;

use crate::rig::open;

fn hex(bytes: &[u8]) -> String {
    let lines: Vec<String> = bytes
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        .collect();
    lines.join("\n")
}

/// One frame with an entry of each kind, then as many as it takes to seal the segment.
fn journal() -> FaultyStorage {
    let storage = FaultyStorage::new(0);
    let (mut opened, _) = open(&storage).unwrap();
    let mut frame = FrameBuilder::default();
    frame.records(7, 1, (40, 2), 1_700_000_000_000, b"seven");
    frame.moved(9, 2, (-1, 0), -5, 0x1122, b"nine");
    frame.state(b"state");
    frame.retired(65_536);
    opened.appender.append(frame, 1_700_000_000_123, false).unwrap();
    opened.syncer.sync().unwrap();
    for number in 0..3 {
        let mut frame = FrameBuilder::default();
        frame.records(7, 0, (43 + number, 0), 1_700_000_000_200, &[number.to_le_bytes()[0]; 32_000]);
        opened.appender.append(frame, 1_700_000_000_300, false).unwrap();
        opened.syncer.sync().unwrap();
    }
    opened.journal.store_snapshot(opened.appender.position(), b"the state".to_vec());
    opened.keeper.work().unwrap();
    storage
}

#[test]
fn a_frame() {
    let content = journal().content("00000000000000000000.segment").unwrap();
    assert_eq!(hex(&content[..272]), FRAME);
}

#[test]
fn a_footer() {
    let content = journal().content("00000000000000000000.segment").unwrap();
    assert_eq!(hex(&content[65_536..]), FOOTER);
}

#[test]
fn the_meta_file() {
    let content = journal().content("floe.journal").unwrap();
    assert_eq!(content.len(), 4_096 + 32);
    assert_eq!(content[..32], content[4_096..]);
    assert_eq!(hex(&content[..32]), META);
}

#[test]
fn a_snapshot() {
    let files = journal().snapshot();
    let (name, content) = files.iter().find(|(name, _)| name.ends_with(".snapshot")).unwrap();
    assert_eq!(name, "00000000000000097648.snapshot");
    assert_eq!(hex(content), SNAPSHOT);
}

const FRAME: &str = "\
464c4f4501100000000000000000000000000000000000001001000004000000\n\
efcdab896745230101000000000100007b68e5cf8b010000fe154cce2b3b6a1a\n\
0101000005000000070000000000000028000000000000000068e5cf8b010000\n\
0200000074a846e3000000000000000002020000040000000900000000000000\n\
fffffffffffffffffbffffffffffffff00000000bb96a49d2211000000000000\n\
0300000005000000000000000000000000000000000000000000000000000000\n\
00000000df68db66000000000000000004000000000000000000000000000000\n\
0000010000000000000000000000000000000000000000000000000000000000\n\
736576656e6e696e6573746174650000";
const FOOTER: &str = "\
500280020580a0abfef962010074a846e30000800180fa0190030000f1f5b06f\n\
0000f0fa0180fa01000000bc955be701008502040902a222bb96a49d07000000\n\
0000000028000000000000002c00000000000000c868e5cf8b01000000010000\n\
0000000005fa000000000000000000002f00000003000000c7ee1c5a09000000\n\
00000000fffffffffffffffffffffffffffffffffbffffffffffffff22110000\n\
0000000004000000000000002f0000000d0000000100000015e43f2003890205\n\
00df68db66048e0200808004000000003c00000000000000464c4f45464f4f54\n\
efcdab89674523010000000000000000f0fb0000000000000100000000010000\n\
04000000000100000200000002000000d8000000bcb2224c6d087a2e";
const META: &str = "464c4f454a524e4c0110000000000000efcdab89674523014e5b60d800000000";
const SNAPSHOT: &str = "\
464c4f45534e41500100000000000000efcdab8967452301707d010000000000\n\
0200000000000000090000000000000000000000000000000000010000000000\n\
746865207374617465d9954357";
