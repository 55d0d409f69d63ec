//! Loading images: layouts and archives of the fixtures.
use libctr::image::{LoadOptions, Source, Store};

#[test]
fn smoke() {
    let images = std::env::var("LIBCTR_TEST_IMAGES").unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let store = Store::open(&temporary.path().join("store")).unwrap();
    let layout = std::path::Path::new(&images).join("busybox-oci");
    let summaries = store
        .load(Source::Path(layout), &LoadOptions::default())
        .unwrap();
    assert_eq!(
        summaries[0].names,
        ["docker.io/library/busybox:1.38.0-musl"]
    );
    let started = std::time::Instant::now();
    let image = store.get("busybox:1.38.0-musl").unwrap();
    eprintln!("{:?} {image:?}", started.elapsed());
    assert!(image.layers[0].path.join("bin/busybox").exists());
    assert_eq!(store.list().unwrap(), summaries);
}
