//! Documents of the OCI runtime specification: a seccomp profile inside a
//! RunSpec and the filter compiled from it, and the `config.json` that is made of any plan.

#![no_main]

use libctr::spec::{RunSpec, Seccomp};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let document = [br#"{"security":{"seccomp":"#, data, b"}}"].concat();
    if let Ok(spec) = RunSpec::from_json(&document) {
        let written = spec.to_json().unwrap();
        let again = RunSpec::from_json(written.as_bytes()).unwrap();
        assert_eq!(again, spec);
        for bounding in [0, u64::MAX] {
            if let Some(program) = libctr::fuzzing::launch::filter(&spec, bounding) {
                check(&program);
            }
        }
        // What the document asks for is never read as no filter.
        if let Seccomp::Unconfined = spec.security.seccomp {
            assert!(data.windows(12).any(|text| text == b"\"unconfined\""));
        }
    }
    if let Some(json) = libctr::fuzzing::launch::document(data) {
        let _: serde_json::Value = serde_json::from_slice(&json).unwrap();
    }
});

/// What the kernel's checker demands of a filter (bpf_check_classic): a length,
/// jumps that stay inside, a return at the end.
fn check(program: &[u8]) {
    let instructions: Vec<&[u8]> = program.chunks(8).collect();
    let count = instructions.len();
    assert!((1..=4096).contains(&count) && program.len() == count * 8);
    for (at, bytes) in instructions.iter().enumerate() {
        let [low, high, yes, no, k0, k1, k2, k3] = **bytes else { panic!("a piece") };
        let code = u16::from_ne_bytes([low, high]);
        let value = u32::from_ne_bytes([k0, k1, k2, k3]);
        let lands = |by: usize| assert!(at + 1 + by < count, "{at}: {by}");
        match code & 7 {
            5 if code == 5 => lands(usize::try_from(value).unwrap()),
            5 => {
                lands(usize::from(yes));
                lands(usize::from(no));
            }
            6 => {}
            _ => assert!(at + 1 < count, "the end is no return"),
        }
    }
}
