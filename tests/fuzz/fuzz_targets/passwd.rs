//! `/etc/passwd` and `/etc/group` of an image, and what a user is given as.

#![no_main]

use libctr::fuzzing::process;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = process::accounts(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = process::user(text);
    }
});
