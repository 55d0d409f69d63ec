//! Logs as the helper writes them, and at each moment of a renaming.

use super::{LogReader, LogStream};
use crate::{ErrorKind, Stage};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

fn bytes(stream: u32, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    let mut frame = [stream.to_le_bytes(), length.to_le_bytes()].concat();
    frame.extend(7_u64.to_le_bytes());
    frame.extend(text.as_bytes());
    frame
}

fn append(directory: &Path, bytes: &[u8]) {
    let path = directory.join("log");
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn rotate(directory: &Path) {
    fs::rename(directory.join("log"), directory.join("log.1")).unwrap();
}

/// Everything that is there now.
fn drain(reader: &mut LogReader) -> String {
    let mut text = String::new();
    for entry in reader {
        text.push_str(std::str::from_utf8(&entry.unwrap().data).unwrap());
    }
    text
}

#[test]
fn entries_come_with_stream_and_time_the_older_file_first() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), &bytes(2, "old"));
    rotate(dir.path());
    append(dir.path(), &bytes(1, "new"));
    let entries: Vec<_> = LogReader::new(dir.path()).map(Result::unwrap).collect();
    let found: Vec<_> =
        entries.iter().map(|entry| (entry.stream, entry.time_ns, &entry.data[..])).collect();
    assert_eq!(found, [(LogStream::Stderr, 7, &b"old"[..]), (LogStream::Stdout, 7, &b"new"[..])]);
}

#[test]
fn no_log_is_empty_and_one_that_appears_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = LogReader::new(dir.path());
    assert_eq!(drain(&mut reader), "");
    append(dir.path(), &bytes(1, "a"));
    assert_eq!(drain(&mut reader), "a");
    assert_eq!(drain(&mut reader), "");
}

#[test]
fn what_is_added_before_a_renaming_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), &bytes(1, "a"));
    let mut reader = LogReader::new(dir.path());
    assert_eq!(drain(&mut reader), "a");
    append(dir.path(), &bytes(1, "b"));
    rotate(dir.path());
    assert_eq!(drain(&mut reader), "b");
    append(dir.path(), &bytes(1, "c"));
    assert_eq!(drain(&mut reader), "c");
}

#[test]
fn reader_that_was_overtaken_goes_on_with_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), &bytes(1, "a"));
    let mut reader = LogReader::new(dir.path());
    assert_eq!(drain(&mut reader), "a");
    for text in ["b", "c"] {
        rotate(dir.path());
        append(dir.path(), &bytes(1, text));
    }
    assert_eq!(drain(&mut reader), "bc");
}

#[test]
fn half_a_frame_waits_for_the_rest_and_a_removed_log_ends() {
    let dir = tempfile::tempdir().unwrap();
    let frame = bytes(1, "whole");
    for cut in [3, 18] {
        append(dir.path(), &frame[..cut]);
        let mut reader = LogReader::new(dir.path());
        assert_eq!(drain(&mut reader), "");
        append(dir.path(), &frame[cut..]);
        assert_eq!(drain(&mut reader), "whole");
        fs::remove_file(dir.path().join("log")).unwrap();
        assert_eq!(drain(&mut reader), "");
    }
}

#[test]
fn damaged_frame_is_one_error_with_its_place() {
    for (stream, text, found) in [(3, "x", "stream 3"), (1, "", "0 bytes")] {
        let dir = tempfile::tempdir().unwrap();
        append(dir.path(), &bytes(1, "a"));
        append(dir.path(), &bytes(stream, text));
        let mut reader = LogReader::new(dir.path());
        assert!(reader.next().unwrap().is_ok());
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::State));
        assert!(
            error.message().ends_with(&format!("log\": no frame at byte 17: {found}")),
            "{error}"
        );
        assert!(reader.next().is_none());
    }
}
