//! Image names: what is accepted means itself in its full and its short form.

#![no_main]

use libctr::image::Reference;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(reference) = Reference::parse(text) else { return };
    let full = reference.to_string();
    assert_eq!(Reference::parse(&full).unwrap(), reference);
    assert_eq!(Reference::parse(&full).unwrap().to_string(), full);
    assert_eq!(Reference::parse(&reference.familiar()).unwrap(), reference);
    // Tags may have dots in a row, and are no part of a path.
    let repository = reference.repository();
    assert!(!repository.contains("..") && !repository.contains("//") && full.is_ascii());
});
