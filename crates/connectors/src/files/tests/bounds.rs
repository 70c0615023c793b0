use std::io::{BufReader, Read as _};

use super::super::json::Document;
use super::super::lines::{Lines, Record};
use super::*;

const GIB: u64 = 1 << 30;

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A file of so many bytes that takes no place, with a text behind it.
fn sparse(folder: &Folder, name: &str, start: &str, bytes: u64, end: &str) {
    use std::os::unix::fs::FileExt as _;
    folder.write(name, start);
    let file = fs::File::options()
        .write(true)
        .open(folder.path().join(name))
        .unwrap();
    file.write_all_at(end.as_bytes(), start.len() as u64 + bytes)
        .unwrap();
}

#[tokio::test]
async fn a_line_of_a_gibibyte_is_one_bad_record_that_memory_does_not_hold() {
    let folder = Folder::new("*.csv", csv());
    sparse(&folder, "a.csv", "a,b\n1,x\n", GIB, "\n2,y\n");
    let before = peak();
    let (source, found) = (folder.source(), folder.one().await);
    let chunk = source
        .read(&found, &Position::start(&found), ALL)
        .await
        .unwrap();
    assert!(chunk.position_after.done);
    let Rows::Raw { records, bad, .. } = chunk.rows else {
        panic!("no rows");
    };
    let values: Vec<_> = records
        .iter()
        .map(|record| (record.row, &record.value[..]))
        .collect();
    assert_eq!(values, [(1, &b"1,x"[..]), (3, b"2,y")]);
    assert_eq!(
        (bad[0].row, bad[0].byte, bad[0].bytes.len()),
        (2, 8, 64 << 10)
    );
    assert!(
        bad[0].message.contains("1073741824 bytes"),
        "{}",
        bad[0].message
    );
    // Tests beside this one take some, too.
    let grown = peak() - before;
    assert!(grown < 512 << 20, "{grown}");
}

#[test]
fn a_document_of_a_gibibyte_is_read_a_record_at_a_time() {
    let letters = |bytes: u64| std::io::repeat(b'x').take(bytes);
    let text = (&br#"{"x":[""#[..])
        .chain(letters(GIB >> 4))
        .chain(&br#""],"r":[{"a":1},{"a":""#[..])
        .chain(letters(GIB))
        .chain(&br#""},{"a":3}],"z":""#[..])
        .chain(letters(GIB >> 4))
        .chain(&br#""}"#[..]);
    let before = peak();
    let content = Box::new(BufReader::with_capacity(1 << 16, text));
    let mut document = Document::new(content, 0, false, Some("$.r"), 1 << 20);
    let mut sizes = Vec::new();
    while let Some(taken) = document.take().unwrap() {
        sizes.push(match taken.record {
            Record::Whole(record) => record.len() as u64,
            Record::Long { first, bytes } => {
                assert_eq!(first.len(), 64 << 10);
                bytes
            }
        });
    }
    assert_eq!(sizes, [7, GIB + 8, 7]);
    assert!(document.is_ended());
    let grown = peak() - before;
    assert!(grown < 512 << 20, "{grown}");
}

#[tokio::test]
async fn what_is_small_only_as_long_as_it_is_compressed_does_no_harm() {
    for suffix in [".gz", ".zst"] {
        let folder = Folder::new("a*", csv());
        let zeros = vec![b'0'; 64 << 20];
        let content = [b"a,b\n1,x\n", &zeros[..], b"\n2,y\n"].concat();
        folder.write(&format!("a{suffix}"), compressed(suffix, &content));
        let read = folder.read().await.unwrap();
        assert_eq!(read.texts(), ["1,x", "2,y"], "{suffix}");
        assert_eq!(read.bad.len(), 1);
    }
}

#[test]
fn what_is_kept_of_a_long_line_does_not_depend_on_how_it_arrives() {
    let text = "x".repeat(200_000) + "\nshort\n";
    let kept = |capacity| {
        let content =
            BufReader::with_capacity(capacity, std::io::Cursor::new(text.clone().into_bytes()));
        let mut lines = Lines::new(Box::new(content), 0, Some(b','), 100_000);
        let taken = lines.take().unwrap().unwrap();
        assert_eq!(lines.next_byte, 200_001);
        let Record::Long { first, bytes } = taken.record else {
            panic!("it is long");
        };
        (first.len(), bytes)
    };
    for capacity in [1, 7, 4096, 1 << 20] {
        assert_eq!(kept(capacity), (64 << 10, 200_000), "{capacity}");
    }
    // The limit may be below what is kept.
    let mut lines = Lines::new(Box::new(std::io::Cursor::new(text)), 0, None, 10);
    let taken = lines.take().unwrap().unwrap();
    assert!(matches!(taken.record, Record::Long { first, .. } if first.len() == 64 << 10));
}
