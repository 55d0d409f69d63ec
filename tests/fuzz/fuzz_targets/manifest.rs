//! Index, manifest and config documents.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| libctr::fuzzing::image::documents(data));
