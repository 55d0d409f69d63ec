//! A layer's tar, unpacked: nothing outside of its directory changes, and what
//! is accepted was within the limits. First byte 0: the rest is a tar, else
//! what one is made of.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libctr::fuzzing::image;
use libctr_fuzz::{Place, Tar, fix_checksums, limits};
use std::sync::LazyLock;

static PLACE: LazyLock<Place> = LazyLock::new(Place::new);

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let tar = match kind {
        0 => rest.to_vec(),
        1 => {
            let mut tar = rest.to_vec();
            fix_checksums(&mut tar);
            tar
        }
        _ => match Tar::arbitrary(&mut Unstructured::new(rest)) {
            Ok(tar) => tar.to_bytes(),
            Err(_) => return,
        },
    };
    let limits = limits();
    let root = PLACE.fresh("fs");
    let unpacked = image::layer(&tar, &root, &limits);
    PLACE.check(&["fs"]);
    // A layer is read the same whether it is unpacked or listed.
    match (unpacked, image::entries(&tar, &limits)) {
        (Ok(count), Ok(entries)) => {
            assert_eq!(count, entries.len() as u64);
            assert!(count <= limits.entries);
            let bytes: u64 = entries.iter().map(|(_, size)| size).sum();
            assert!(bytes <= limits.bytes);
            agrees(&tar, &entries);
        }
        (Ok(_), Err(error)) => panic!("unpacked but not listed: {error}"),
        (Err(_), _) => {}
    }
});

/// Where crate `tar` reads the archive as well, it sees the same entries. It
/// is laxer, so what it makes of names that it cannot read is not compared.
fn agrees(tar: &[u8], ours: &[(Vec<u8>, u64)]) {
    let mut theirs = Vec::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let Ok(entry) = entry else { return };
        let kind = entry.header().entry_type().as_byte();
        if matches!(kind, b'g' | b'V') {
            continue;
        }
        // Sparse files of pax have their real size in records.
        theirs.push((kind, entry.size()));
    }
    assert_eq!(ours.len(), theirs.len());
}
