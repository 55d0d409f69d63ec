//! `ctrun features` against what really works.

use crate::bench::Bench;

fn is_available(bench: &Bench, name: &str) -> bool {
    let list = bench.ctrun(&["features", "--format", "json"]).json();
    let found = list.as_array().expect("list").iter().find(|feature| feature["name"] == name);
    found.expect(name)["available"].as_bool().expect("bool")
}

#[test]
fn table_has_a_line_for_each() {
    let bench = Bench::new();
    let text = bench.ctrun(&["features"]).good();
    let list = bench.ctrun(&["features", "--format", "json"]).json();
    assert_eq!(text.lines().count(), list.as_array().expect("list").len() + 1);
    assert!(text.starts_with("FEATURE"), "{text}");
    assert!(is_available(&bench, "build.image.load"));
}

#[test]
fn missing_parts_of_the_build_are_refused_when_used() {
    let bench = Bench::new();
    assert!(!is_available(&bench, "build.network.nat"));
    let text = bench.ctrun(&["run", "--network", "nat", "host", "true"]).bad(125);
    assert_eq!(text, "ctrun: network: network: nat is not supported by this version\n");
    assert!(!is_available(&bench, "build.image.pull"));
    let text = bench.ctrun(&["image", "pull", "busybox"]).bad(125);
    assert_eq!(
        text,
        "ctrun: image: pulling docker.io/library/busybox:latest is not supported by this \
         version\nhint: save it with another tool and use: ctrun image load FILE\n"
    );
}

#[test]
fn filter_of_system_calls_is_what_a_container_has() {
    let bench = Bench::new();
    let words = ["run", "--rm", "host", "sed", "-n", "s/^Seccomp:\\t//p", "/proc/self/status"];
    let is_filtered = bench.ctrun(&words).good() == "2\n";
    assert_eq!(is_available(&bench, "build.seccomp"), is_filtered);
}
