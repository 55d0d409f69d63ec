//! `ctrun run --userns --uidmap --gidmap`, and what inspect shows of it.

use crate::bench::{Bench, is_root};

const MAPS: [&str; 4] =
    ["host", "sh", "-c", "cat /proc/self/uid_map; echo; cat /proc/self/gid_map"];

/// What a container prints that shows its maps, one space between numbers.
fn maps(bench: &Bench, options: &[&str]) -> String {
    let ran = bench.ctrun(&[&["run", "--rm"], options, &MAPS].concat()).good();
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    ran.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn maps_of_ids_are_what_the_options_say() {
    let Some(bench) = Bench::of_root() else { return };
    let whole = "0 0 4294967295";
    assert_eq!(maps(&bench, &[]), format!("{whole}\n\n{whole}"));
    assert_eq!(maps(&bench, &["--userns", "host"]), format!("{whole}\n\n{whole}"));
    let found = maps(&bench, &["--uidmap", "0:100000:65536", "--gidmap=0:200000:1000"]);
    assert_eq!(found, "0 100000 65536\n\n0 200000 1000");
    // One kind stands for both, and there may be several.
    let found = maps(&bench, &["--gidmap", "0:100000:1000", "--gidmap", "1000:0:1"]);
    assert_eq!(found, "0 100000 1000\n1000 0 1\n\n0 100000 1000\n1000 0 1");
}

#[test]
fn maps_that_are_none_or_contradict_are_refused() {
    let bench = Bench::new();
    let run = |options: &[&str]| {
        bench.ctrun(&[&["run", "--rm"], options, &["host", "true"]].concat()).bad(125)
    };
    assert!(run(&["--uidmap", "0:x:1"]).contains("expected CONTAINER:HOST"));
    let text = run(&["--uidmap", "0:100000:0"]);
    assert!(
        text.contains("security.user_namespace.uid_maps[0].size: expected at least 1"),
        "{text}"
    );
    assert!(run(&["--userns", "host", "--uidmap", "0:0:1"]).contains("cannot be used with"));
    if !is_root() {
        let text = run(&["--userns", "host"]);
        assert!(text.contains("user: security.user_namespace: \"host\" needs root"), "{text}");
        assert!(text.contains("\nhint: leave it at \"auto\""), "{text}");
    }
}

#[test]
fn inspect_shows_the_namespace_and_its_maps() {
    let bench = Bench::new();
    let options: &[&str] = if is_root() { &["--uidmap", "0:100000:65536"] } else { &[] };
    let id = bench.detached(options, "cat /proc/self/uid_map; exec sleep 600");
    let shown = bench.ctrun(&["inspect", &id]).json();
    let linux = &shown[0]["config"]["linux"];
    let kinds: Vec<_> = linux["namespaces"].as_array().expect("a list").iter().collect();
    assert!(kinds.iter().any(|each| each["type"] == "user"), "{linux}");
    let log = || bench.ctrun(&["logs", &id]).good();
    crate::bench::until("the map is in the log", || log().ends_with('\n'));
    let lines: Vec<String> =
        log().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for kind in ["uidMappings", "gidMappings"] {
        let maps = linux[kind].as_array().unwrap_or_else(|| panic!("{kind}: {linux}"));
        let number = |map: &serde_json::Value, key: &str| map[key].as_u64().expect("number");
        let found: Vec<String> = maps
            .iter()
            .map(|map| ["containerID", "hostID", "size"].map(|key| number(map, key).to_string()))
            .map(|map| map.join(" "))
            .collect();
        assert_eq!(found.len(), lines.len(), "{kind}");
        if kind == "uidMappings" {
            assert_eq!(found, lines);
        }
    }
    bench.ctrun(&["rm", "-f", &id]).good();
    if is_root() {
        let id = bench.detached(&[], "exec sleep 600");
        let shown = bench.ctrun(&["inspect", &id]).json();
        assert!(!shown[0]["config"]["linux"].to_string().contains("\"user\""), "{shown}");
        assert!(shown[0]["config"]["linux"].get("uidMappings").is_none());
    }
}

/// A layer of two devices and three owners.
const LAYER: &str = r#"
import tarfile, sys
out = tarfile.open(sys.argv[1], "w")
for name, kind, uid in [("null", tarfile.CHRTYPE, 0), ("disk", tarfile.BLKTYPE, 0),
                        ("root", tarfile.DIRTYPE, 0), ("web", tarfile.DIRTYPE, 33),
                        ("far", tarfile.DIRTYPE, 99999)]:
    info = tarfile.TarInfo(name)
    info.type, info.uid, info.gid, info.mode = kind, uid, uid, 0o755
    out.addfile(info)
out.close()
"#;

#[test]
fn load_says_once_what_an_ordinary_user_has_not_got() {
    let bench = Bench::new();
    let archive = bench.path("layer.tar");
    let archive = archive.to_str().expect("path");
    let made = std::process::Command::new("python3").args(["-c", LAYER, archive]).status();
    assert!(made.expect("python3").success());
    let ran = bench.ctrun(&["image", "import", archive, "owned:1"]);
    let lines: Vec<&str> = ran.err.lines().collect();
    if is_root() {
        assert_eq!(lines, [""; 0]);
        return;
    }
    assert_eq!(ran.code, 0);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "ctrun: warning: image: 2 devices left out: only root makes devices");
    let name =
        nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("user").expect("user").name;
    let has_ids = std::fs::read_to_string("/etc/subuid").is_ok_and(|text| text.contains(&name));
    let owners = match has_ids {
        true => "ctrun: warning: image: the owners of 1 file became root: this user's",
        false => "ctrun: warning: image: the owners of 2 files became root: this user has no",
    };
    assert!(lines[1].starts_with(owners), "{lines:?}");
}
