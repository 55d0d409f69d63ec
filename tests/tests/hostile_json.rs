//! Documents that would take a careless reader's memory or mean two things:
//! of a run, and of an image.

mod hostile_support;

use std::os::unix::ffi::OsStrExt;

use hostile_support::{Bench, Layout, Tar};
use libctr::spec::RunSpec;
use libctr::{ErrorKind, Stage};
use libctr_tests::as_root;

/// Peak of the resident memory, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// The refusal of a run's document.
#[track_caller]
fn refused(json: &[u8], text: &str) {
    let before = peak();
    let error = RunSpec::from_json(json).expect_err(text);
    assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Spec), "{error}");
    let message = error.to_string();
    assert!(message.starts_with("spec: ") && message.contains(text), "{message} / {text}");
    assert!(message.len() < 10_000, "{} bytes of message", message.len());
    assert!(peak() - before < 64 << 20, "{} MiB more", (peak() - before) >> 20);
}

#[test]
fn bombs_in_a_run_document_are_refused_in_bounded_memory() {
    let long = format!("{{\"args\": [\"{}\"]}}", "x".repeat(100 << 20));
    refused(long.as_bytes(), "expected at most 8388608");
    drop(long);
    let less = format!("{{\"hostname\": \"{}\"}}", "x".repeat(8_000_000));
    refused(less.as_bytes(), "hostname: expected 1 to 64");
    refused(&[b'['; 1 << 20], "nested deeper than 32 levels");
    let deep = |open: &str, close: &str| {
        format!("{{\"x-a\": {}1{}}}", open.repeat(100_000), close.repeat(100_000))
    };
    refused(deep("[", "]").as_bytes(), "nested deeper than 32 levels");
    refused(deep("{\"a\":", "}").as_bytes(), "nested deeper than 32 levels");
    let mounts = format!("{{\"mounts\": [{}{{}}]}}", "{},".repeat(1_000_000));
    refused(mounts.as_bytes(), "more than 262144 values");
    let mount = r#"{"type":"tmpfs","target":"/a"},"#;
    let mounts = format!("{{\"mounts\": [{}{}]}}", mount.repeat(5000), &mount[..mount.len() - 1]);
    refused(mounts.as_bytes(), "mounts: expected at most 4096 items, found 5001");
    let keys: String = (0..70_000).map(|n| format!("\"A{n}\":\"\",")).collect();
    let env = format!("{{\"env\": {{{}}}}}", keys.trim_end_matches(','));
    refused(env.as_bytes(), "env: expected at most 65536 items, found 70000");
}

#[test]
fn documents_that_mean_two_things_are_refused() {
    for (json, text) in [
        (r#"{"args": ["a"], "args": ["b"]}"#, "the key \"args\" appears twice"),
        (r#"{"env": {"A": "1", "A": "2"}}"#, "env: the key \"A\" appears twice"),
        (r#"{"args": ["a"], "arg\u0073": ["b"]}"#, "the key \"args\" appears twice"),
        (r#"{"limits": {"cpus": NaN}}"#, "is not JSON"),
        (r#"{"limits": {"cpus": Infinity}}"#, "is not JSON"),
        (r#"{"limits": {"cpus": 1e999}}"#, "is not JSON"),
        (r#"{"limits": {"memory": -1}}"#, "limits.memory: "),
        (r#"{"limits": {"memory": 18446744073709551616}}"#, "limits.memory: "),
        (r#"{"limits": {"memory": "99999999999999999999G"}}"#, "limits.memory: "),
        (r#"{"hostname": "\ud800"}"#, "is not JSON"),
        (r#"{"hostname": "\udc00\ud800"}"#, "is not JSON"),
        (r#"{"args": ["\u0000"]}"#, "args[0]: contains a NUL byte"),
        (r#"{"args": [{"base64": "AA=="}]}"#, "args[0]: contains a NUL byte"),
        (r#"{} {}"#, "is not JSON"),
        (r#"{"args": ["a",]}"#, "is not JSON"),
        (r#"{"args": ["a"]} // x"#, "is not JSON"),
        (r#"[]"#, "expected an object, found a list"),
        (r#"[1]"#, ""),
        (r#"null"#, ""),
        ("\u{feff}{}", "is not JSON"),
        ("", "is not JSON"),
    ] {
        refused(json.as_bytes(), text);
    }
    refused(b"{\"hostname\": \"\xff\"}", "is not JSON");
    refused(b"{\"hostname\": \"a\0b\"}", "is not JSON");
}

#[test]
fn long_id_maps_and_values_are_refused_or_kept_whole() {
    let ranges = |count: u32| -> String {
        let range =
            |n: u32| format!("{{\"container\":{},\"host\":{},\"size\":1}}", n * 2, 1000 + n * 2);
        (0..count).map(range).collect::<Vec<_>>().join(",")
    };
    let map = |uids: u32| {
        format!(
            "{{\"security\":{{\"user_namespace\":{{\"uid_maps\":[{}],\"gid_maps\":[{}]}}}}}}",
            ranges(uids),
            ranges(1)
        )
    };
    RunSpec::from_json(map(340).as_bytes()).expect("340 ranges");
    refused(map(341).as_bytes(), "security.user_namespace.uid_maps");
    // 64 KiB and 1 MiB (CVE-2021-43784 cut such a length).
    for count in [1500, 24_000] {
        refused(map(count).as_bytes(), "security.user_namespace.uid_maps");
    }
    for length in [65_535, 65_536, 1 << 20] {
        let value = "v".repeat(length);
        let json = format!("{{\"env\":{{\"A\":\"{value}\"}},\"args\":[\"{value}\"]}}");
        let spec = RunSpec::from_json(json.as_bytes()).expect("a document");
        let again = RunSpec::from_json(spec.to_json().expect("json").as_bytes()).expect("again");
        assert_eq!(again, spec);
        assert_eq!(again.args[0].as_bytes().len(), length);
    }
}

/// Documents of an image: (the file to replace, what with, the refusal).
fn documents() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let large =
        |text: &str| format!("{{\"schemaVersion\":2,\"manifests\":[],\"x\":{text}}}").into_bytes();
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    vec![
        (
            "index.json",
            large(&format!("\"{}\"", "x".repeat(100 << 20))),
            "a document that is too long",
        ),
        (
            "index.json",
            large(&format!("[{}0]", "0,".repeat(3_000_000))),
            "too much to keep in memory",
        ),
        ("index.json", vec![b'['; 1 << 20], "index.json:"),
        ("index.json", nested.into_bytes(), "index.json:"),
        (
            "index.json",
            br#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#.to_vec(),
            "duplicate field",
        ),
        ("index.json", br#"{"schemaVersion":NaN,"manifests":[]}"#.to_vec(), "index.json:"),
        (
            "index.json",
            br#"{"schemaVersion":2,"manifests":[],"mediaType":"\ud800"}"#.to_vec(),
            "index.json:",
        ),
        (
            "index.json",
            b"{\"schemaVersion\":2,\"manifests\":[],\"mediaType\":\"\xff\"}".to_vec(),
            "index.json:",
        ),
        ("index.json", br#"{"schemaVersion":2,"manifests":[]} x"#.to_vec(), "trailing characters"),
        ("index.json", b"null".to_vec(), "index.json:"),
        ("oci-layout", br#"{"imageLayoutVersion":1}"#.to_vec(), "oci-layout:"),
        ("oci-layout", Vec::new(), "oci-layout:"),
    ]
}

#[test]
fn bombs_in_documents_of_an_image_are_refused_in_bounded_memory() {
    if !as_root() {
        return;
    }
    let good = Layout::plain(&[Tar::new().file("a", b"x").end()]);
    for (name, document, text) in documents() {
        let bench = Bench::new();
        let files = good.all();
        let tar = files.iter().fold(Tar::new(), |tar, (known, bytes)| {
            tar.file(known, if known == name { &document } else { bytes })
        });
        let (archive, before) = (tar.end(), peak());
        bench.refuses(archive, text);
        assert!(peak() - before < 64 << 20, "{text}: {} MiB more", (peak() - before) >> 20);
    }
}

#[test]
fn configs_that_are_none_are_refused_with_their_name() {
    if !as_root() {
        return;
    }
    let bench = Bench::new();
    for (config, text) in [
        ("{}", "missing field"),
        ("[]", "image config sha256:"),
        (
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["x"]}}"#,
            "diff_id \"x\"",
        ),
        (
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:../../x"]}}"#,
            "diff_id",
        ),
        (
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
            "has 0 diff_ids for 1 layers",
        ),
        (
            r#"{"architecture":"amd64","os":"linux","config":{"Env":[1]},"rootfs":{"type":"layers","diff_ids":[]}}"#,
            "config.Env[0]",
        ),
        (
            r#"{"architecture":"amd64","os":"linux","config":{"Cmd":"sh"},"rootfs":{"type":"layers","diff_ids":[]}}"#,
            "config.Cmd",
        ),
    ] {
        let layout = Layout::of(&[Tar::new().file("a", b"x").end()], config.as_bytes());
        bench.refuses(layout.archive(), text);
    }
}
