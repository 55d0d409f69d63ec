mod differential;

use super::{Archive, Entry, Kind, Segment};
use crate::error::{ErrorKind, Result};
use crate::image::limits::Limits;
use crate::image::tests::forge::Tar;
use crate::image::unpack::attributes::Time;
use proptest::prelude::{any, proptest};
use std::io::Read;
use tar::Header;

fn read(tar: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>> {
    let limits = Limits::default();
    let mut archive = Archive::new(tar, &limits);
    let mut found = Vec::new();
    while let Some(entry) = archive.next()? {
        let mut data = Vec::new();
        let read = archive.by_ref().take(1 << 20).read_to_end(&mut data);
        read.map_err(|error| crate::image::unwrap_io("read", error))?;
        found.push((entry, data));
    }
    archive.finish()?;
    Ok(found)
}

fn paths(tar: &[u8]) -> Vec<String> {
    let entries = read(tar).unwrap();
    entries.iter().map(|(entry, _)| String::from_utf8_lossy(&entry.path).into_owned()).collect()
}

fn refused(tar: Vec<u8>, reason: &str) {
    let error = read(&tar).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!(error.to_string().contains(reason), "{error} / {reason}");
}

#[test]
fn entries_come_with_all_they_have() {
    let tar = Tar::new()
        .dir("d/")
        .pax(&[
            ("mtime", b"12.5"),
            ("uid", b"70000000"),
            ("SCHILY.xattr.user.a", b"line\nwith = and \0"),
            ("SCHILY.xattr.user.a", b"x\ny=\0"),
            ("LIBARCHIVE.xattr.user.b", b"aGk="),
        ])
        .file("d/f", b"hello")
        .symlink("s", "d/f")
        .hardlink("h", "d/f")
        .end();
    let found = read(&tar).unwrap();
    let (file, data) = &found[1];
    assert_eq!(
        (file.kind, &file.path[..], file.size, &data[..]),
        (Kind::File, &b"d/f"[..], 5, &b"hello"[..])
    );
    assert_eq!(file.mtime, Time { seconds: 12, nanoseconds: 500_000_000 });
    assert_eq!((file.uid, file.gid), (70_000_000, 0));
    let xattrs = [(b"user.a".to_vec(), b"x\ny=\0".to_vec()), (b"user.b".to_vec(), b"hi".to_vec())];
    assert_eq!(file.xattrs, xattrs);
    assert_eq!((found[2].0.kind, &found[2].0.link[..]), (Kind::Symlink, &b"d/f"[..]));
    assert_eq!(found[3].0.kind, Kind::Hardlink);
}

#[test]
fn attributes_of_one_entry_are_counted() {
    let with = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("SCHILY.xattr.user.{n}")).collect();
        let records: Vec<(&str, &[u8])> =
            names.iter().map(|name| (name.as_str(), &b"v"[..])).collect();
        Tar::new().pax(&records).file("x", b"").end()
    };
    assert_eq!(read(&with(1000)).unwrap()[0].0.xattrs.len(), 1000);
    refused(with(1001), "an entry with too many attributes: the limit is 1000");
    refused(with(30_000), "an entry with too many attributes");
}

#[test]
fn long_names_come_from_gnu_headers_or_pax() {
    let long = "x".repeat(300);
    let gnu = Tar::new()
        .entry(b'L', "././@LongLink", "", 0, format!("{long}\0").as_bytes())
        .file("x", b"");
    assert_eq!(paths(&gnu.end()), [long.as_str()]);
    let pax = Tar::new().pax(&[("path", long.as_bytes())]).file("x", b"");
    assert_eq!(paths(&pax.end()), [long.as_str()]);
    let both = Tar::new()
        .pax(&[("path", b"other")])
        .entry(b'L', "././@LongLink", "", 0, format!("{long}\0").as_bytes())
        .file("x", b"");
    refused(both.end(), "two different paths");
    let endless = Tar::new().entry(b'L', "././@LongLink", "", 0, long.as_bytes()).file("x", b"");
    refused(endless.end(), "a long name without an end");
}

#[test]
fn negative_and_fractional_times_are_exact() {
    for (text, seconds, nanoseconds) in [
        ("0", 0, 0),
        ("-1", -1, 0),
        ("-1.75", -2, 250_000_000),
        ("1.0000000019", 1, 1),
        ("1.", 1, 0),
    ] {
        let tar = Tar::new().pax(&[("mtime", text.as_bytes())]).file("x", b"").end();
        assert_eq!(read(&tar).unwrap()[0].0.mtime, Time { seconds, nanoseconds }, "{text}");
    }
    for text in ["x", "1.x", "--1", "99999999999999999999", "1e3"] {
        let tar = Tar::new().pax(&[("mtime", text.as_bytes())]).file("x", b"").end();
        assert!(read(&tar).is_err(), "{text}");
    }
}

#[test]
fn archives_that_parsers_read_differently_are_refused() {
    let inner = Tar::new().file("hidden", b"").0;
    // The size says 0, the pax record the truth: what follows is data.
    let mut header = Header::new_ustar();
    header.set_path("outer").unwrap();
    header.set_mode(0o644);
    header.set_size(0);
    let size = inner.len().to_string();
    let tar =
        Tar::new().pax(&[("size", size.as_bytes())]).header(header, &inner).file("after", b"");
    assert_eq!(paths(&tar.end()), ["outer", "after"]);

    refused(Tar::new().entry(b'5', "d", "", 0o755, &inner).end(), "is no regular file but has");
    refused(Tar::new().entry(b'1', "h", "t", 0o755, &inner).end(), "is no regular file but has");
    refused(
        Tar::new().pax(&[("size", b"5")]).symlink("s", "t").end(),
        "is no regular file but has",
    );
    refused(Tar::new().pax(&[]).pax(&[]).file("x", b"").end(), "two extended headers");
    refused(Tar::new().pax(&[("path", b"x")]).end(), "ends after an extended header");
    let global = Tar::new().entry(b'g', "g", "", 0, b"11 path=yy\n").file("x", b"");
    refused(global.end(), "a global pax record \"path\"");
    let harmless = Tar::new().entry(b'g', "g", "", 0, b"14 comment=yy\n").file("x", b"");
    assert_eq!(paths(&harmless.end()), ["x"]);
    for records in
        ["5 a=b\n", "7 a=b\n", "6 a=b", "x a=b\n", "6 ab=\n6", "4 a\n\n", "-6 a=b\n", "6 =bb\n"]
    {
        let tar = Tar::new().entry(b'x', "x", "", 0, records.as_bytes()).file("x", b"").end();
        assert!(read(&tar).is_err(), "{records:?}");
    }
    let mut single_zero_block = Tar::new().file("a", b"");
    single_zero_block.0.extend_from_slice(&[0; 512]);
    refused(single_zero_block.file("b", b"").end(), "a single block of zeros");
    let labelled = Tar::new().entry(b'V', "label", "", 0, b"").file("x", b"");
    assert_eq!(paths(&labelled.end()), ["x"]);
    for tar in [
        Tar::new().entry(b'V', "label", "", 0, &inner).file("x", b""),
        Tar::new().pax(&[("path", b"y")]).entry(b'V', "label", "", 0, b"").file("x", b""),
    ] {
        refused(tar.end(), "a volume label with data or an extended header");
    }
    for key in ["path", "size"] {
        let tar = Tar::new().pax(&[(key, b"")]).file("x", b"");
        refused(tar.end(), &format!("a pax record with an empty {key}"));
    }
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[263..265].copy_from_slice(b"01");
    refused(Tar::new().header(header, b"").end(), "an unknown version of the header");
    refused(Tar::new().entry(b'Z', "z", "", 0, b"").end(), "the unknown type 'Z'");
}

#[test]
fn damaged_archives_are_refused() {
    let good = Tar::new().file("x", b"data").end();
    for cut in [1, 300, 511, 513, 515, 1023] {
        assert!(read(&good[..cut]).is_err(), "{cut}");
    }
    // Archives without the two blocks at the end are whole.
    assert_eq!(paths(&good[..1024]), ["x"]);
    assert!(paths(b"").is_empty());
    let mut flipped = good.clone();
    flipped[0] ^= 1;
    refused(flipped, "wrong header checksum");
    let mut header = Header::new_gnu();
    header.as_old_mut().size = *b"zzzzzzzzzzz\0";
    refused(Tar::new().header(header, b"").end(), "the size of an entry is no number");
    let mut huge = Header::new_gnu();
    huge.set_size(u64::MAX - 3);
    refused(Tar::new().header(huge, b"").end(), "does not fit 64 bits");
}

#[test]
fn extended_header_too_long_is_refused_before_it_is_read() {
    let mut header = Header::new_gnu();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(8 << 30);
    let mut tar = Tar::new().header(header, b"").0;
    tar.truncate(512);
    refused(tar, "an extended tar header that is too long: the limit is 1048576");
}

#[test]
fn sparse_files_of_all_forms_have_their_segments() {
    let want = vec![Segment { offset: 512, length: 3 }, Segment { offset: 4096, length: 2 }];
    let v01 = Tar::new()
        .pax(&[
            ("GNU.sparse.size", b"8192"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.map", b"512,3,4096,2"),
            ("GNU.sparse.name", b"real"),
        ])
        .file("GNUSparseFile.0/real", b"abcde");
    let v00 = Tar::new()
        .pax(&[
            ("GNU.sparse.size", b"8192"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"512"),
            ("GNU.sparse.numbytes", b"3"),
            ("GNU.sparse.offset", b"4096"),
            ("GNU.sparse.numbytes", b"2"),
        ])
        .file("real", b"abcde");
    let mut data = b"2\n512\n3\n4096\n2\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(b"abcde");
    let v10 = Tar::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.realsize", b"8192"),
            ("GNU.sparse.name", b"real"),
        ])
        .file("x", &data);
    for tar in [v01, v00, v10] {
        let found = read(&tar.end()).unwrap();
        let (entry, data) = &found[0];
        assert_eq!((&entry.path[..], entry.size), (&b"real"[..], 8192));
        assert_eq!((entry.sparse.as_ref(), &data[..]), (Some(&want), &b"abcde"[..]));
    }
}

#[test]
fn sparse_map_that_lies_is_refused() {
    for (map, blocks, data) in [
        ("4096,2,512,3", "2", 5),
        ("512,3,514,2", "2", 5),
        ("512,9", "1", 5),
        ("9000,5", "1", 5),
        ("18446744073709551615,5", "1", 5),
        ("512", "1", 5),
        ("512,5", "2", 5),
        ("a,b", "1", 5),
    ] {
        let records: [(&str, &[u8]); 3] = [
            ("GNU.sparse.size", b"8192"),
            ("GNU.sparse.numblocks", blocks.as_bytes()),
            ("GNU.sparse.map", map.as_bytes()),
        ];
        let tar = Tar::new().pax(&records).file("x", &vec![7; data]).end();
        assert!(read(&tar).is_err(), "{map}");
    }
}

/// The crate's own iterator is the second parser: where both read an archive
/// without error, they must see the same entries.
fn agrees_with_crate(bytes: &[u8]) {
    let Ok(ours) = read(bytes) else { return };
    let mut archive = tar::Archive::new(bytes);
    let mut theirs = Vec::new();
    for entry in archive.entries().unwrap() {
        let Ok(entry) = entry else { return };
        if matches!(entry.header().entry_type().as_byte(), b'g' | b'V') {
            continue;
        }
        theirs.push((entry.path_bytes().into_owned(), entry.size()));
    }
    let ours: Vec<_> = ours.into_iter().map(|(entry, _)| (entry.path, entry.size)).collect();
    assert_eq!(ours, theirs);
}

proptest! {
    #[test]
    fn mutated_archives_read_the_same_as_by_the_crate(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        fix in any::<bool>(),
    ) {
        let mut tar = Tar::new()
            .dir("d")
            .pax(&[("size", b"3"), ("mtime", b"1.5")])
            .file("d/a", b"abc")
            .entry(b'L', "L", "", 0, b"a-long-name\0")
            .file("d/b", &[1; 700])
            .symlink("s", "d/a")
            .end();
        for (place, byte) in changes {
            let at = place.index(tar.len());
            tar[at] = byte;
            if fix {
                // Most changes in headers are found by the checksum; this one
                // gets through.
                let start = at / 512 * 512;
                let mut header = Header::new_old();
                header.as_mut_bytes().copy_from_slice(&tar[start..start + 512]);
                if header.cksum().is_ok() && !header.as_bytes().iter().all(|b| *b == 0) {
                    header.set_cksum();
                    tar[start..start + 512].copy_from_slice(header.as_bytes());
                }
            }
        }
        agrees_with_crate(&tar);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
        let _ = read(&bytes);
    }
}
