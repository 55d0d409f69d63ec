//! Small archives that would become large: each stops at its limit, leaves
//! the disk as it was, and takes little memory. And no program is run.

mod hostile_support;

use std::io::Write;
use std::path::PathBuf;

use hostile_support::child::{self, Ended};
use hostile_support::{Bench, Layout, Tar, digest, gzip};
use libctr_tests::{as_root, skip};
use serde_json::{Value, json};

const MEBIBYTE: u64 = 1 << 20;
/// Memory that any load may take: buffers, and a zstd window of 128 MiB.
const MEMORY: u64 = 200 * MEBIBYTE;

#[test]
#[ignore = "a child of the other tests"]
fn child_of_the_other_tests() {
    child::main();
}

/// Loads `archive` in a child with these limits; nothing may change.
#[track_caller]
fn load(archive: &[u8], limits: &Value) -> Ended {
    let bench = Bench::new();
    let path: PathBuf = bench.path("archive");
    std::fs::write(&path, archive).expect("archive");
    let ended = child::load(&bench.path("store"), &path, limits, &[]);
    bench.check_outside();
    if ended.error.is_some() {
        bench.check_all();
    }
    ended
}

#[track_caller]
fn refused(archive: &[u8], limits: &Value, text: &str) {
    let ended = load(archive, limits);
    let (kind, error) = ended.error.expect(text);
    assert_eq!(kind, "InvalidInput", "{error}");
    assert!(error.starts_with("image: ") && error.contains(text), "{error} / {text}");
    assert!(ended.grown < MEMORY, "{text}: {} MiB", ended.grown / MEBIBYTE);
}

/// An image of one packed layer. The tar's digest is not reached.
fn image(blob: Vec<u8>) -> Vec<u8> {
    Layout::new(&[blob], &[digest(b"not reached")]).archive()
}

/// Ten gibibytes of zeros behind `header`, in ten mebibytes of gzip.
fn zeros(header: &[u8]) -> Vec<u8> {
    let member = gzip(&vec![0; 64 << 20]);
    let mut packed = gzip(header);
    for _ in 0..160 {
        packed.extend_from_slice(&member);
    }
    packed
}

#[test]
fn ten_gibibytes_of_zeros_stop_at_the_ratio() {
    if !as_root() {
        return;
    }
    // As a file of a layer; as what follows a layer; as the archive itself.
    let file = Tar::new().patched(b'0', "f", "", 0o644, b"", &[(124, b"120000000000")]);
    let text = "unpacks to far more bytes: the limit is 250 for one";
    let packed = zeros(&file.0);
    assert!((9 << 20..12 << 20).contains(&packed.len()), "{}", packed.len());
    refused(&image(packed.clone()), &json!({}), text);
    refused(&image(zeros(&Tar::new().file("f", b"x").end())), &json!({}), text);
    refused(&packed, &json!({}), text);
}

#[test]
fn streams_that_never_end_stop_at_their_limit() {
    if !as_root() {
        return;
    }
    let small = json!({"bytes": 1 << 20, "entries": 100});
    let limit = (1 << 20) + 100 * 4096;
    let text = format!("an archive with too many bytes: the limit is {limit}");
    // Headers that are no entries, and extensions of a sparse map.
    let comment = Tar::new().entry(b'g', "g", "", 0, b"14 comment=yy\n").0.repeat(2000);
    refused(&image(gzip(&comment)), &small, &text);
    let more = [(482, b"\x01".as_slice()), (483, b"00000000000\0")];
    let mut map = Tar::new().patched(b'S', "s", "", 0o644, b"", &more).0;
    let mut extension = [0; 512];
    extension[504] = 1;
    map.extend_from_slice(&extension.repeat(5000));
    refused(&image(gzip(&map)), &small, &text);
    let mut labels = Tar::new();
    for _ in 0..4000 {
        labels = labels.entry(b'V', "label", "", 0, b"");
    }
    refused(&labels.0, &small, &text);
}

#[test]
fn window_of_zstd_is_bounded() {
    if !as_root() {
        return;
    }
    // A frame that asks for a window of 2 GiB and one of 3.75 TiB.
    for descriptor in [0xa8, 0xff] {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, descriptor, 1, 0, 0];
        let text = "Frame requires too much memory for decoding";
        refused(&frame, &json!({}), text);
        refused(&image(frame.to_vec()), &json!({}), text);
    }
    // The largest that every decoder has to have.
    let mut packed = zstd::Encoder::new(Vec::new(), 1).expect("encoder");
    packed.window_log(27).expect("a window");
    packed.write_all(&Tar::new().file("f", &vec![7; 1 << 20]).end()).expect("memory");
    let packed = packed.finish().expect("memory");
    let ended = load(&image(packed), &json!({}));
    let (_, error) = ended.error.expect("another digest");
    assert!(error.contains("as its name says"), "{error}");
    assert!(ended.grown < MEMORY, "{} MiB", ended.grown / MEBIBYTE);
}

#[test]
fn million_entries_stop_at_the_limit() {
    if !as_root() {
        return;
    }
    let thousand = (0..1000).fold(Tar::new(), |tar, n| tar.file(&format!("f{n}"), b"")).0;
    let packed = gzip(&thousand).repeat(1000);
    let limits = json!({"entries": 50_000});
    refused(&image(packed), &limits, "too many entries: the limit is 50000");
    let thousand = (0..1000).fold(Tar::new(), |tar, n| tar.dir(&format!("d{n}/a/b/c"))).0;
    let packed = gzip(&thousand).repeat(1000);
    refused(&image(packed), &limits, "too many entries: the limit is 50000");
    // And as files of the archive.
    let files = (0..21_000).fold(Tar::new(), |tar, n| tar.file(&format!("f{n}"), b""));
    refused(&gzip(&files.end()), &json!({}), "too many files in its archive: the limit is 20000");
}

#[test]
fn long_names_and_deep_directories_stop_at_the_limit() {
    if !as_root() {
        return;
    }
    let named = |name: &[u8]| image(Tar::new().pax(&[("path", name)]).file("x", b"").end());
    let gnu = |name: &str| {
        image(Tar::new().entry(b'L', "L", "", 0, format!("{name}\0").as_bytes()).dir("x").end())
    };
    refused(&named(&"d/".repeat(10_000).into_bytes()), &json!({}), "a path that is too long");
    refused(&gnu(&"d/".repeat(10_000)), &json!({}), "a path that is too long: the limit is 4095");
    refused(
        &gnu(&"d/".repeat(2000)),
        &json!({}),
        "directories that are too deep: the limit is 256",
    );
    refused(&named(&[b'n'; 4000]), &json!({}), "a name of more than 255 bytes");
    refused(&named(&[b'n'; 256]), &json!({}), "a name of more than 255 bytes");
    refused(&named(&vec![b'n'; 2 << 20]), &json!({}), "an extended tar header that is too long");
    let link = [b'l'; 5000];
    let link = Tar::new().pax(&[("linkpath", &link)]).symlink("x", "l");
    // Links of that length are no files that the kernel makes.
    refused(&image(link.end()), &json!({}), "ENAMETOOLONG");
}

#[test]
fn sparse_files_count_with_their_holes() {
    if !as_root() {
        return;
    }
    for size in ["9223372036854775807", "18446744073709551615", "1152921504606846976"] {
        let records: [(&str, &[u8]); 3] = [
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.numblocks", b"1"),
            ("GNU.sparse.map", b"0,1"),
        ];
        let tar = Tar::new().pax(&records).file("s", b"x").end();
        refused(&image(tar), &json!({}), "too many bytes when unpacked: the limit is 68719476736");
    }
    // With no limit at all it is the kernel's to refuse.
    let records: [(&str, &[u8]); 3] = [
        ("GNU.sparse.size", b"18446744073709551615"),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.map", b"0,1"),
    ];
    let tar = Tar::new().pax(&records).file("s", b"x").file("t", b"y").end();
    let ended = load(&image(tar), &json!({"bytes": u64::MAX}));
    let (_, error) = ended.error.expect("a refusal");
    assert!(error.contains("write("), "{error}");
    // A map of a hundred thousand pieces.
    let map: Vec<String> = (0..100_000).map(|n| format!("{},1", 2 * n)).collect();
    let map = map.join(",");
    let records: [(&str, &[u8]); 3] = [
        ("GNU.sparse.size", b"1000000"),
        ("GNU.sparse.numblocks", b"100000"),
        ("GNU.sparse.map", map.as_bytes()),
    ];
    let tar = Tar::new().pax(&records).file("s", &vec![7; 100_000]).end();
    refused(&image(tar.clone()), &json!({"extended": 65_536}), "an extended tar header");
    let ended = load(&Layout::plain(&[tar]).archive(), &json!({"extended": 4 << 20}));
    assert_eq!(ended.error, None);
    assert!(ended.grown < MEMORY, "{} MiB", ended.grown / MEBIBYTE);
}

#[test]
fn bytes_of_all_files_are_counted_and_given_back() {
    if !as_root() {
        return;
    }
    let data = vec![7; 1 << 20];
    let tar = (0..64).fold(Tar::new(), |tar, n| tar.file(&format!("f{n}"), &data)).end();
    let limits = json!({"bytes": 32 << 20});
    let text = "too many bytes when unpacked: the limit is 33554432";
    refused(&image(gzip(&tar)), &limits, text);
    let one = (0..64).fold(Tar::new(), |tar, _| tar.file("same", &data)).end();
    refused(&image(gzip(&one)), &limits, text);
    refused(&Layout::plain(&[tar]).archive(), &limits, "too many bytes: the limit is 33554432");
}

#[test]
fn loading_runs_no_program() {
    if !as_root() {
        return;
    }
    let traced = std::process::Command::new("strace").args(["-V"]).output();
    if traced.is_err() {
        skip("strace is not installed");
        return;
    }
    let bench = Bench::new();
    // Programs of these names would be found by a careless look-up.
    let names = ["gzip", "zstd", "tar", "unpigz", "xz", "bin/sh", "usr/bin/gzip"];
    let layer = names
        .iter()
        .fold(Tar::new(), |tar, name| tar.entry(b'0', name, "", 0o755, b"#!/bin/sh\nexit 0\n"));
    let layer = layer.end();
    let blobs = [gzip(&layer), zstd::encode_all(&layer[..], 1).expect("memory"), layer.clone()];
    let archive = gzip(&Layout::new(&blobs, &[(); 3].map(|()| digest(&layer))).archive());
    let path = bench.path("archive");
    std::fs::write(&path, archive).expect("archive");
    let trace = bench.path("trace");
    let trace_text = trace.to_str().expect("path");
    let wrapper = ["strace", "-f", "-qq", "-e", "trace=execve,execveat,chroot", "-o", trace_text];
    let ended = child::load(&bench.path("store"), &path, &json!({}), &wrapper);
    assert_eq!(ended.error, None);
    let text = std::fs::read_to_string(trace).expect("trace");
    let calls: Vec<&str> = text.lines().filter(|line| line.contains("exec")).collect();
    assert_eq!(calls.len(), 1, "only the child itself: {text}");
    assert!(!text.contains("chroot("), "{text}");
}
