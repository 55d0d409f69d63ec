//! RunSpec: what is read is written and read back the same.

#![no_main]

use libctr::spec::RunSpec;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(spec) = RunSpec::from_json(data) else { return };
    let written = spec.to_json().unwrap();
    let again = RunSpec::from_json(written.as_bytes()).unwrap();
    assert_eq!(again, spec);
    assert_eq!(again.to_json().unwrap(), written);
});
