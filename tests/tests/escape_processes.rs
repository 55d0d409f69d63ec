//! Escapes from process to process: signals, tracing, looking into others
//! through /proc, sockets without a path; from inside, and against a container
//! from other users of the host.
//!
//! Known from CVE-2020-15257, 2022-29162 and kin.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use libctr::Container;
use libctr::spec::{Network, RunSpec, Seccomp};
use libctr_tests::{Fixture, as_root, fixture, helper, is_root, probe_path, program, runs};

const NOBODY: u32 = 65_534;

fn unconfined(fixture: &Fixture, words: &[&str]) -> RunSpec {
    let mut spec = fixture.probe(words);
    spec.security.seccomp = Seccomp::Unconfined;
    spec
}

#[test]
fn processes_of_the_host_cannot_be_signalled() {
    let Some(fixture) = fixture() else { return };
    let mut victim = Command::new("sleep").arg("60").spawn().expect("sleep");
    let pid = victim.id().to_string();
    // Signal 0 only asks whether it could be sent. −1 is everybody.
    let words = ["signal", &pid, "0", ",", "signal", "-1", "0", ",", "signal", "1", "0"];
    // Nobody is there but the init, which "everybody" leaves out.
    assert_eq!(fixture.ask(&words), "error 3\nerror 3");
    let outside = Command::new(probe_path()).args(["signal", &pid, "0"]).output().expect("probe");
    assert_eq!(outside.stdout, b"");
    victim.kill().expect("kill");
    victim.wait().expect("wait");
}

#[test]
fn init_cannot_be_traced_nor_looked_into() {
    let Some(fixture) = fixture() else { return };
    let words = ["trace", "child", ",", "trace", "1", ",", "open", "/proc/1/mem", "rw"];
    assert_eq!(fixture.answer(&unconfined(&fixture, &words)), "traced\nerror 1\nerror 13");
    // The right to trace is one over the whole container, also over its init;
    // that has no other right than to send signals, and nothing of the host.
    let words = ["trace", "1", ",", "read", "/proc/1/status"];
    let mut spec = unconfined(&fixture, &words);
    spec.security.capabilities.add.push("SYS_PTRACE".into());
    let answer = fixture.answer(&spec);
    // In a user namespace that right does not reach a program from outside.
    let begin = if is_root() { "traced\n" } else { "error 1\n" };
    assert!(answer.starts_with(begin), "{answer}");
    for line in ["CapPrm:\t0000000000000020", "CapEff:\t0000000000000020", "NoNewPrivs:\t1"] {
        assert!(answer.contains(line), "{answer}");
    }
}

#[test]
fn helper_is_not_seen_from_inside() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["line", ",", "list", "/proc"]));
    let (helper, program) = (helper(&container), program(&container));
    let output = container.output(b"\n", &libctr::spec::Limits::default()).expect("output");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let processes: Vec<&str> =
        text.lines().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect();
    assert_eq!(processes, ["1", "2"]);
    assert!(helper > 2 && program > 2, "{helper} {program}");
}

/// What another user of the host can open of a process: a line for each file.
fn opened_by(user: u32, pid: i32) -> String {
    let script = "for f in root cwd exe fd environ mem maps ns/mnt; do \
                  if [ -L /proc/$0/$f ]; then readlink /proc/$0/$f; \
                  elif [ -d /proc/$0/$f ]; then ls /proc/$0/$f/; \
                  else head -c1 /proc/$0/$f > /proc/self/fd/2 && echo $f; fi; done 2>/dev/null; true";
    let output = Command::new("sh")
        .args(["-c", script, &pid.to_string()])
        .uid(user)
        .gid(user)
        .output()
        .expect("sh");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn other_users_of_the_host_see_nothing_of_a_container() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    for init in [true, false] {
        let mut spec = fixture.probe(&["line"]);
        spec.init = init;
        let container = fixture.start(&spec);
        let pids = [helper(&container), program(&container), init_of(&container)];
        for pid in pids {
            assert_eq!(opened_by(NOBODY, pid), "", "{pid} of {pids:?}");
        }
        // Root of the host does, of the program: it has not got rid of its rights.
        let seen = opened_by(0, program(&container));
        assert!(seen.contains("/\n") && seen.contains("mnt:["), "{seen}");
        container.stop(Duration::ZERO).expect("stop");
    }
}

fn init_of(container: &Container) -> i32 {
    container.info().expect("info").pid.expect("running")
}

/// What a process of another user sees that tries without pause to look into
/// whatever executes the helper's program, while containers start whose program
/// has the user of `NOBODY`; `enough` ends it, or a number of starts.
fn seen_of_starts(fixture: &Fixture, user: u32, enough: impl Fn(&str) -> bool) -> String {
    let out = fixture.path().join(format!("seen-{user}"));
    let file = fs::File::create(&out).expect("file");
    let mut watcher = Command::new(probe_path())
        .args(["watch", "libctr-helper"])
        .uid(user)
        .gid(user)
        .stdout(Stdio::from(file))
        .spawn()
        .expect("watcher");
    let seen = || fs::read_to_string(&out).expect("file");
    for _ in 0..runs(200).max(20) {
        let mut spec = fixture.probe(&["uid"]);
        spec.user = Some(format!("{NOBODY}:{NOBODY}"));
        assert!(fixture.answer(&spec).starts_with("65534 "));
        if enough(&seen()) {
            break;
        }
    }
    watcher.kill().expect("kill");
    watcher.wait().expect("wait");
    seen()
}

#[test]
fn container_in_its_start_shows_nothing_to_the_user_it_will_have() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    // Before it executes, it has descriptors of the host, and has changed to
    // the user already.
    assert_eq!(seen_of_starts(&fixture, NOBODY, |_| false), "");
    // Root may look, and so this watcher would have seen it.
    let seen = seen_of_starts(&fixture, 0, |seen| seen.contains("libctr-helper"));
    assert!(seen.contains("libctr-helper"), "{seen}");
}

#[test]
fn abstract_sockets_of_the_host_are_reached_with_its_network_only() {
    let Some(fixture) = fixture() else { return };
    let name = format!("libctr-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("address");
    let _listener = UnixListener::bind_addr(&address).expect("socket");
    let words = ["connect", &name, ",", "say", "end"];
    assert_eq!(fixture.ask(&words), "error 111\nend");
    let mut spec = unconfined(&fixture, &words);
    spec.network = Network::Host;
    spec.security.landlock = libctr::spec::Landlock::Off;
    assert_eq!(fixture.answer(&spec), "end");
}

#[test]
fn library_listens_on_no_abstract_socket() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let container = fixture.start(&fixture.probe(&["line"]));
    let mine = [std::process::id().to_string(), helper(&container).to_string()];
    let named = fs::read_to_string("/proc/net/unix").expect("sockets");
    for pid in mine {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let target = target.to_string_lossy().into_owned();
            let Some(inode) = target.strip_prefix("socket:[").and_then(|it| it.strip_suffix(']'))
            else {
                continue;
            };
            let line = named.lines().find(|line| line.split_whitespace().nth(6) == Some(inode));
            let path = line.and_then(|line| line.split_whitespace().nth(7));
            assert_eq!(path, None, "{line:?}");
        }
    }
    container.stop(Duration::ZERO).expect("stop");
}
