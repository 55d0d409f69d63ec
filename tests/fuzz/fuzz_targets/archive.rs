//! An image archive, loaded: an error leaves the store as it was, an image
//! that was loaded can be had and removed. First byte 0: the rest is an
//! archive, else what one is made of.

#![no_main]

use std::io::Cursor;
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use libctr::image::{LoadOptions, Source, Store};
use libctr_fuzz::{Image, Place, limits};

static PLACE: LazyLock<(Place, Store, Vec<String>)> = LazyLock::new(|| {
    let place = Place::new();
    let store = Store::open(&place.fresh("store")).unwrap();
    // Locks stay, once they were made.
    let _ = store.prune(false, &|_| false);
    let empty = place.list("store");
    (place, store, empty)
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let archive = match kind {
        0 => rest.to_vec(),
        _ => match Image::arbitrary(&mut Unstructured::new(rest)) {
            Ok(image) => image.to_bytes(),
            Err(_) => return,
        },
    };
    let (place, store, empty) = &*PLACE;
    let mut options = LoadOptions::default();
    options.limits = limits();
    let loaded = store.load(Source::Reader(Box::new(Cursor::new(archive))), &options);
    place.check(&["store"]);
    if let Ok(images) = loaded {
        assert!(!images.is_empty());
        for image in &images {
            let had = store.get(&image.digest).or_else(|_| store.get(&image.id)).unwrap();
            assert!(image.names.iter().all(|name| store.get(name).is_ok()));
            assert_eq!(had.layers.len(), image.layers);
        }
        for image in store.list().unwrap() {
            store.remove(&image.id, true, &|_| false).unwrap();
        }
        store.prune(true, &|_| false).unwrap();
    }
    assert_eq!(&place.list("store"), empty);
});
