//! Step `init`: what the program finds around it.

use std::collections::BTreeMap;
use std::fs;

use libctr::spec::{Network, RunSpec, Seccomp};
use libctr_tests::{Fixture, fixture, is_root, session_keyring};
use nix::sys::signal::{SigSet, Signal};

/// Names and numbers of the host's namespaces, as the probe lists them.
fn host_namespaces() -> Vec<String> {
    let names = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    let link = |name| fs::read_link(format!("/proc/self/ns/{name}")).expect("namespace");
    names.map(|name| link(name).to_string_lossy().into_owned()).to_vec()
}

/// Which namespaces of a run are the host's.
fn shared(fixture: &Fixture, spec: &RunSpec) -> String {
    let answer = fixture.answer(spec);
    let host = host_namespaces();
    let same = answer.lines().filter(|line| host.iter().any(|host| host == line));
    same.map(|line| line.split(':').next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

#[test]
fn namespaces_are_the_containers_own() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["namespaces"]);
    let user = if is_root() { "user" } else { "" };
    assert_eq!(shared(&fixture, &spec), user);
    spec.network = Network::Host;
    assert_eq!(shared(&fixture, &spec), format!("net {user}").trim_end());
}

#[test]
fn host_name_is_the_short_id_or_the_given_one() {
    let Some(fixture) = fixture() else { return };
    let words = ["hostname", ",", "read", "/etc/hostname"];
    let container = fixture.start(&fixture.probe(&words));
    let short = container.id()[..12].to_owned();
    let output = container.output(b"", &RunSpec::default().limits).expect("output");
    assert_eq!(output.stdout, format!("{short}\n{short}\n").into_bytes());
    drop(container);

    let mut spec = fixture.probe(&words);
    spec.hostname = Some("box.example".into());
    assert_eq!(fixture.answer(&spec), "box.example\nbox.example");
}

#[test]
fn hosts_and_resolver_files_are_written() {
    let Some(fixture) = fixture() else { return };
    let words = ["read", "/etc/hosts", ",", "say", "--", ",", "read", "/etc/resolv.conf"];
    let mut spec = fixture.probe(&words);
    spec.hostname = Some("box".into());
    let basic = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                 fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\n\
                 ff02::2\tip6-allrouters\n127.0.1.1\tbox";
    assert_eq!(fixture.answer(&spec), format!("{basic}\n--\n"));
    spec.hosts.insert("peer".into(), "10.0.0.7".parse().expect("address"));
    spec.dns = vec!["9.9.9.9".parse().expect("address"), "::1".parse().expect("address")];
    let expected = format!("{basic}\n10.0.0.7\tpeer\n--\nnameserver 9.9.9.9\nnameserver ::1");
    assert_eq!(fixture.answer(&spec), expected);
}

#[test]
fn network_has_the_loopback_interface_alone_and_up() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(fixture.ask(&["interfaces"]), "lo up");
    let mut spec = fixture.probe(&["interfaces"]);
    spec.network = Network::Host;
    let text = fs::read_to_string("/proc/self/net/dev").expect("interfaces");
    assert_eq!(fixture.answer(&spec).lines().count(), text.lines().count() - 2);
}

/// Mount points with file system and options, the last one on each point.
fn mounts(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let words: Vec<&str> = before.split(' ').collect();
        let (kind, rest) = after.split_once(' ')?;
        let options = rest.split_once(' ')?.1;
        Some(((*words.get(4)?).to_owned(), format!("{kind} {} {options}", words.get(5)?)))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn kernel_file_systems_are_mounted_with_their_options() {
    let Some(fixture) = fixture() else { return };
    let found = mounts(&fixture.ask(&["mounts"]));
    let has = |point: &str, kind: &str, options: &[&str]| {
        let line = found.get(point).unwrap_or_else(|| panic!("{point} in {found:#?}"));
        let words: Vec<&str> = line.split([' ', ',']).collect();
        assert_eq!(words.first(), Some(&kind), "{point}");
        for option in options {
            assert!(words.contains(option), "{point}: {option} in {line}");
        }
    };
    // In a user namespace a root with mounts below it is put together from parts.
    has("/", if is_root() { "overlay" } else { "tmpfs" }, &["rw", "nodev"]);
    has("/proc", "proc", &["rw", "nosuid", "nodev", "noexec"]);
    has("/dev", "tmpfs", &["rw", "nosuid", "noexec", "mode=755", "size=65536k"]);
    has("/dev/pts", "devpts", &["rw", "nosuid", "noexec", "mode=620", "ptmxmode=666"]);
    has("/dev/shm", "tmpfs", &["rw", "nosuid", "nodev", "noexec", "size=65536k"]);
    has("/dev/mqueue", "mqueue", &["rw", "nosuid", "nodev", "noexec"]);
    has("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]);
    has("/probe", found["/probe"].split(' ').next().unwrap_or_default(), &["ro", "nodev"]);
    // Nothing of the host's own mount table, but what was asked for.
    let strange: Vec<_> = found
        .keys()
        .filter(|point| point.contains("libctr-test") || point.starts_with("/run"))
        .collect();
    assert_eq!(strange, Vec::<&String>::new());
}

/// What `stat` says of a device of this machine: in a user namespace its owner
/// is nobody.
fn host_node(number: &str) -> String {
    let owner = if is_root() { 0 } else { 65534 };
    format!("character {number} 666 {owner} {owner}")
}

#[test]
fn kernel_secrets_are_masked() {
    let Some(fixture) = fixture() else { return };
    for path in
        ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/kallsyms", "/proc/interrupts"]
    {
        if fs::symlink_metadata(path).is_ok() {
            assert_eq!(fixture.ask(&["stat", path]), host_node("1:3"), "{path}");
        }
    }
    for path in ["/proc/acpi", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"] {
        if fs::symlink_metadata(path).is_ok() {
            assert_eq!(fixture.ask(&["list", path]), "", "{path}");
            let file = format!("{path}/file");
            assert_eq!(fixture.ask(&["write", &file, "x"]), "error 30", "{path}");
        }
    }
}

#[test]
fn kernel_settings_are_read_only_even_for_root() {
    let Some(fixture) = fixture() else { return };
    // Root of a user namespace is not their owner to begin with.
    let expected = if is_root() { "error 30" } else { "error 13" };
    for path in
        ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"]
    {
        if fs::symlink_metadata(path).is_ok() {
            assert_eq!(fixture.ask(&["write", path, "1"]), expected, "{path}");
        }
    }
    assert_eq!(fixture.ask(&["mkdir", "/sys/kernel/x"]), "error 30");
    // What belongs to the process itself is not.
    assert_eq!(fixture.ask(&["write", "/proc/self/comm", "me"]), "");
}

#[test]
fn init_reaps_orphans_and_without_it_they_stay() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["orphans", "5", ",", "sleep", "300", ",", "zombies"]);
    assert_eq!(fixture.answer(&spec), "0");
    spec.init = false;
    assert_eq!(fixture.answer(&spec), "5");
}

#[test]
fn init_passes_signals_on() {
    let Some(fixture) = fixture() else { return };
    for signal in [1, 2, 10, 12, 15] {
        let container = fixture.start(&fixture.probe(&["forever"]));
        container.kill(signal).expect("kill");
        let exit = container.wait(None).expect("wait").expect("end");
        assert_eq!(exit.signal, Some(signal));
    }
}

#[test]
fn signals_are_at_their_defaults_whatever_the_host_does() {
    let Some(fixture) = fixture() else { return };
    // Rust programs ignore SIGPIPE; this thread also blocks two more.
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("set");
    let ignored = u64::from_str_radix(ignored.trim(), 16).expect("set");
    assert_ne!(ignored & 1 << 12, 0, "{ignored:x}");
    let mut set = SigSet::empty();
    set.add(Signal::SIGUSR1);
    set.add(Signal::SIGTERM);
    set.thread_block().expect("mask");
    // Not the probe: its own runtime changes some before it begins.
    let mut spec = fixture.probe(&[]);
    spec.args = vec!["cat".into(), "/proc/self/status".into()];
    let answer = fixture.answer(&spec);
    set.thread_unblock().expect("mask");
    for key in ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"] {
        assert!(answer.contains(&format!("{key}:\t0000000000000000\n")), "{answer}");
    }
}

const NONE: &str = "0000000000000000";
const DEFAULT: &str = "00000000a80425fb";

fn capabilities(fixture: &Fixture, change: impl FnOnce(&mut RunSpec)) -> [String; 5] {
    let mut spec = fixture.probe(&["capabilities"]);
    change(&mut spec);
    let answer = fixture.answer(&spec);
    let words: Vec<String> = answer.split(' ').map(Into::into).collect();
    words.try_into().expect("inheritable, permitted, effective, bounding, ambient")
}

#[test]
fn capabilities_of_root_are_the_usual_ones() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(capabilities(&fixture, |_| {}), [NONE, DEFAULT, DEFAULT, DEFAULT, NONE]);
    let dropped =
        capabilities(&fixture, |spec| spec.security.capabilities.drop = vec!["ALL".into()]);
    assert_eq!(dropped, [NONE; 5]);
    let net_admin = "0000000000001000";
    let one = capabilities(&fixture, |spec| {
        spec.security.capabilities.drop = vec!["all".into()];
        spec.security.capabilities.add = vec!["cap_net_admin".into()];
    });
    assert_eq!(one, [NONE, net_admin, net_admin, net_admin, NONE]);
}

#[test]
fn capabilities_of_others_are_none_but_those_asked_for() {
    let Some(fixture) = fixture() else { return };
    let user = Some("1000:1000".to_owned());
    let found = capabilities(&fixture, |spec| spec.user = user.clone());
    assert_eq!(found, [NONE, NONE, NONE, DEFAULT, NONE]);
    let found = capabilities(&fixture, |spec| {
        spec.user = user.clone();
        spec.security.capabilities.add = vec!["NET_RAW".into()];
    });
    let raw = "0000000000002000";
    assert_eq!(found, [raw, raw, raw, DEFAULT, raw]);
}

#[test]
fn no_new_privileges_unless_allowed() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(fixture.ask(&["no_new_privs"]), "1");
    let mut spec = fixture.probe(&["no_new_privs"]);
    spec.security.no_new_privileges = false;
    assert_eq!(fixture.answer(&spec), "0");
}

#[test]
fn other_user_cannot_become_root() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["setuid", "0", ",", "uid"]);
    spec.user = Some("1000:1000".into());
    assert_eq!(fixture.answer(&spec), "error 1\n1000 1000 1000 1000");
}

#[test]
fn keyring_is_new_in_every_container() {
    let Some(fixture) = fixture() else { return };
    let host = session_keyring().to_string();
    // The filter refuses the question.
    let mut spec = fixture.probe(&["keyring"]);
    spec.security.seccomp = Seccomp::Unconfined;
    let (one, other) = (fixture.answer(&spec), fixture.answer(&spec));
    if one == "error 38" {
        return libctr_tests::skip("this kernel has no keyrings");
    }
    assert!(one.parse::<i32>().is_ok_and(|id| id > 0), "{one}");
    assert!(one != other && one != host && other != host, "{host} {one} {other}");
}

#[test]
fn score_for_memory_shortage_is_the_hosts() {
    let Some(fixture) = fixture() else { return };
    let host = fs::read_to_string("/proc/self/oom_score_adj").expect("score");
    assert_eq!(fixture.ask(&["oom_score"]), host.trim());
}
