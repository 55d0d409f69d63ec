//! The mount table and the groups of a process. A line `=` divides them.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (mounts, own) = text.split_once("\n=\n").unwrap_or((text, ""));
    libctr::fuzzing::cgroup::hierarchies(mounts, own);
});
