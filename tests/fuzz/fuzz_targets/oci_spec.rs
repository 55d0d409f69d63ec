//! Documents of the OCI runtime specification: a seccomp profile inside a
//! RunSpec, and the `config.json` that is made of any plan.

#![no_main]

use libctr::spec::{RunSpec, Seccomp};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let document = [br#"{"security":{"seccomp":"#, data, b"}}"].concat();
    if let Ok(spec) = RunSpec::from_json(&document) {
        let written = spec.to_json().unwrap();
        let again = RunSpec::from_json(written.as_bytes()).unwrap();
        assert_eq!(again, spec);
        // What the document asks for is never read as no filter.
        if let Seccomp::Unconfined = spec.security.seccomp {
            assert!(data.windows(12).any(|text| text == b"\"unconfined\""));
        }
    }
    if let Some(json) = libctr::fuzzing::launch::document(data) {
        let _: serde_json::Value = serde_json::from_slice(&json).unwrap();
    }
});
