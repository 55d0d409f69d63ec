//! Step `user`, its last act: the filter of system calls.

use std::os::fd::AsFd;
use std::time::Duration;

use libctr::spec::{IdMap, RunSpec, Seccomp, UserNamespace};
use libctr::{ErrorKind, Outcome, Stage};
use libctr_tests::{Fixture, fixture, listener, outer};
use serde_json::{Value, json};

fn confined(fixture: &Fixture, profile: &Value, words: &[&str]) -> RunSpec {
    let mut spec = fixture.probe(words);
    spec.security.seccomp = serde_json::from_value(profile.clone()).expect("a profile");
    spec
}

fn unconfined(fixture: &Fixture, words: &[&str]) -> RunSpec {
    let mut spec = fixture.probe(words);
    spec.security.seccomp = Seccomp::Unconfined;
    spec
}

/// A profile that allows all calls but the named ones.
fn except(names: &[&str], action: &str) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": names, "action": action}],
    })
}

/// Words of the probe that make one call of this machine's own ABI.
fn call(number: libc::c_long, arguments: &[&str]) -> Vec<String> {
    let words = ["call".to_owned(), "native".to_owned(), number.to_string()];
    words.into_iter().chain(arguments.iter().map(|word| (*word).to_owned())).collect()
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

const NEWUSER: &str = "0x10000000";
const EPERM: &str = "error 1";

#[test]
fn filter_is_there_unless_unconfined() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(fixture.ask(&["seccomp"]), "2");
    assert_eq!(fixture.answer(&unconfined(&fixture, &["seccomp"])), "0");
    let profile = except(&["mkdir"], "SCMP_ACT_ERRNO");
    assert_eq!(fixture.answer(&confined(&fixture, &profile, &["seccomp"])), "2");
}

#[test]
fn filter_is_there_for_every_kind_of_program() {
    let Some(fixture) = fixture() else { return };
    for init in [true, false] {
        for user in ["0", "1000:1000"] {
            for no_new_privileges in [true, false] {
                let words = ["seccomp", ",", "no_new_privs", ",", "capabilities"];
                let mut spec = fixture.probe(&words);
                spec.init = init;
                spec.user = Some(user.to_owned());
                spec.security.no_new_privileges = no_new_privileges;
                let set = if user == "0" { "00000000a80425fb" } else { "0000000000000000" };
                let none = "0000000000000000";
                let bounding = "00000000a80425fb";
                let expected = format!(
                    "2\n{}\n{none} {set} {set} {bounding} {none}",
                    u8::from(no_new_privileges)
                );
                assert_eq!(fixture.answer(&spec), expected, "{init} {user} {no_new_privileges}");
            }
        }
    }
}

#[test]
fn default_refuses_what_opens_the_kernel_and_unconfined_does_not() {
    let Some(fixture) = fixture() else { return };
    // Called with arguments that are wrong, so that nothing happens: without
    // the filter the kernel itself says so.
    for (name, number, arguments) in [
        ("unshare", libc::SYS_unshare, &[NEWUSER][..]),
        ("setns", libc::SYS_setns, &["-1", "0"]),
        ("mount", libc::SYS_mount, &["0", "0", "0", "0", "0"]),
        ("umount2", libc::SYS_umount2, &["0", "0x4000"]),
        ("keyctl", libc::SYS_keyctl, &["0", "-3", "0"]),
        ("bpf", libc::SYS_bpf, &["-1", "0", "0"]),
        ("io_uring_setup", libc::SYS_io_uring_setup, &["0", "0"]),
        ("userfaultfd", libc::SYS_userfaultfd, &["-1"]),
        ("perf_event_open", libc::SYS_perf_event_open, &["0", "0", "0", "0", "0"]),
        ("clone(CLONE_NEWUSER)", libc::SYS_clone, &["0x10010011", "0"]),
    ] {
        let words = call(number, arguments);
        assert_eq!(fixture.ask(&strs(&words)), EPERM, "{name}");
        let mut spec = unconfined(&fixture, &strs(&words));
        // The capabilities of the kernel's own checks.
        spec.security.capabilities.add = vec!["ALL".into()];
        assert_ne!(fixture.answer(&spec), EPERM, "{name}");
    }
    // What libcs shall do without: ENOSYS.
    let words = call(libc::SYS_clone3, &["0", "0"]);
    assert_eq!(fixture.ask(&strs(&words)), "error 38");
    assert_ne!(fixture.answer(&unconfined(&fixture, &strs(&words))), "error 38");
    assert_eq!(fixture.ask(&["call", "native", "1000"]), "error 38");
}

#[test]
fn default_allows_what_programs_need() {
    let Some(fixture) = fixture() else { return };
    let words = ["child", "exit", "3", ",", "uid", ",", "interfaces", ",", "write", "/f", "x"];
    let expected = "child 768\n0 0 0 0\nlo up";
    assert_eq!(fixture.ask(&words), expected);
    for (number, arguments) in
        [(libc::SYS_socket, &["2", "1", "0"][..]), (libc::SYS_personality, &["0xffffffff"])]
    {
        let answer = fixture.ask(&strs(&call(number, arguments)));
        assert!(!answer.starts_with("error"), "{number}: {answer}");
    }
    // PTRACE_ATTACH to a process that there is not.
    assert_eq!(fixture.ask(&strs(&call(libc::SYS_ptrace, &["16", "99999"]))), "error 3");
}

#[test]
fn default_comes_with_the_capabilities_of_the_program() {
    let Some(fixture) = fixture() else { return };
    let unshare = call(libc::SYS_unshare, &["0x04000000"]);
    let with = |names: &[&str]| {
        let mut spec = fixture.probe(&strs(&unshare));
        spec.security.capabilities.add = names.iter().map(|name| (*name).to_owned()).collect();
        fixture.answer(&spec)
    };
    assert_eq!(with(&[]), EPERM);
    assert_eq!(with(&["SYS_ADMIN"]), "0");
    let chroot = call(libc::SYS_chroot, &["0"]);
    assert_eq!(fixture.ask(&strs(&chroot)), "error 14");
    let mut spec = fixture.probe(&strs(&chroot));
    spec.security.capabilities.drop = vec!["ALL".into()];
    assert_eq!(fixture.answer(&spec), EPERM);
}

#[test]
fn socket_families_beside_the_network_are_refused_however_they_are_written() {
    let Some(fixture) = fixture() else { return };
    for family in ["38", "40", "0x100000026", "0x100000028"] {
        let words = call(libc::SYS_socket, &[family, "5", "0"]);
        assert_eq!(fixture.ask(&strs(&words)), "error 97", "{family}");
    }
    let unix = call(libc::SYS_socket, &["1", "1", "0"]);
    assert_ne!(fixture.ask(&strs(&unix)), "error 97");
}

/// The same call, getpid, by each ABI of the machine.
#[cfg(target_arch = "x86_64")]
#[test]
fn foreign_abis_are_killed_by_default() {
    let Some(fixture) = fixture() else { return };
    const SIGSYS: &str = "child 31";
    let gate = ["child", "call", "i386", "20"];
    let x32 = ["child", "call", "x32", "39"];
    assert_eq!(fixture.ask(&gate), SIGSYS);
    assert_eq!(fixture.ask(&x32), SIGSYS);
    assert_eq!(fixture.answer(&unconfined(&fixture, &gate)), "child 0");
    assert_eq!(fixture.answer(&unconfined(&fixture, &x32)), "child 0");
    // As the program itself.
    let exit = fixture.run(&fixture.probe(&["call", "i386", "20"])).exit;
    assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(libc::SIGSYS)));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn call_denied_by_name_is_denied_by_every_abi() {
    let Some(fixture) = fixture() else { return };
    let mut profile = except(&["getpid"], "SCMP_ACT_ERRNO");
    let ask = |profile: &Value, words: &[&str]| fixture.answer(&confined(&fixture, profile, words));
    let native = ["call", "native", "39"];
    assert_eq!(ask(&profile, &native), EPERM);
    // ABIs that are not listed.
    assert_eq!(ask(&profile, &["child", "call", "i386", "20"]), "child 31");
    assert_eq!(ask(&profile, &["child", "call", "x32", "39"]), "child 31");
    profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    assert_eq!(ask(&profile, &native), EPERM);
    assert_eq!(ask(&profile, &["call", "i386", "20"]), EPERM);
    assert_eq!(ask(&profile, &["call", "x32", "39"]), EPERM);
    // Another call by the same gate: getppid.
    assert_eq!(ask(&profile, &["call", "i386", "64"]), "1");
}

#[test]
fn profile_decides_errno_kill_trap_and_log() {
    let Some(fixture) = fixture() else { return };
    let mkdir = call(libc::SYS_mkdirat, &["-1", "0", "0"]);
    let run = |profile: &Value| fixture.run(&confined(&fixture, profile, &strs(&mkdir)));
    let mut errno = except(&["mkdirat"], "SCMP_ACT_ERRNO");
    assert_eq!(run(&errno).stdout, b"error 1\n");
    errno["syscalls"][0]["errnoRet"] = json!(99);
    assert_eq!(run(&errno).stdout, b"error 99\n");
    for action in
        ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"]
    {
        let exit = run(&except(&["mkdirat"], action)).exit;
        let end = (exit.outcome, exit.code, exit.signal);
        assert_eq!(end, (Outcome::Signaled, None, Some(libc::SIGSYS)), "{action}");
    }
    // Nobody traces: ENOSYS. Logged and made: the kernel's own EFAULT.
    assert_eq!(run(&except(&["mkdirat"], "SCMP_ACT_TRACE")).stdout, b"error 38\n");
    assert_eq!(run(&except(&["mkdirat"], "SCMP_ACT_LOG")).stdout, b"error 14\n");
    assert_eq!(run(&except(&[], "SCMP_ACT_ERRNO")).stdout, b"error 14\n");
}

#[test]
fn arguments_decide_where_the_profile_says_so() {
    let Some(fixture) = fixture() else { return };
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{
            "names": ["prctl", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77,
            "args": [
                {"index": 0, "value": 15, "op": "SCMP_CMP_EQ"},
                {"index": 4, "value": 3, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"},
            ],
        }],
    });
    let ask = |arguments: &[&str]| {
        fixture.answer(&confined(&fixture, &profile, &strs(&call(libc::SYS_prctl, arguments))))
    };
    assert_eq!(ask(&["15", "0", "0", "0", "6"]), "error 77");
    assert_ne!(ask(&["15", "0", "0", "0", "5"]), "error 77");
    assert_ne!(ask(&["16", "0", "0", "0", "6"]), "error 77");
}

/// Nothing of the runtime's own steps has to be in a profile.
#[test]
fn profile_of_execve_alone_starts_the_program() {
    let Some(fixture) = fixture() else { return };
    for default in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL"] {
        for (init, privileges) in [(true, true), (false, true), (true, false), (false, false)] {
            let profile = json!({
                "defaultAction": default,
                "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}],
            });
            let mut spec = confined(&fixture, &profile, &["uid"]);
            (spec.init, spec.security.no_new_privileges) = (init, privileges);
            let exit = fixture.run(&spec).exit;
            // It started, and its first call killed it.
            assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(libc::SIGSYS)));
        }
    }
}

/// Behind a filter that allows nothing else, the reason still arrives.
#[test]
fn execve_that_fails_behind_the_filter_is_told() {
    let Some(fixture) = fixture() else { return };
    for default in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_ERRNO", "SCMP_ACT_TRAP"] {
        for init in [true, false] {
            let profile = json!({
                "defaultAction": default,
                "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}],
            });
            let mut spec = confined(&fixture, &profile, &[]);
            (spec.init, spec.args) = (init, vec!["/no/such/program".into()]);
            let (kind, stage, errno, text) = fixture.refusal(&spec);
            assert_eq!((kind, stage), (ErrorKind::ProgramNotFound, Stage::Exec), "{text}");
            assert_eq!(errno, Some(libc::ENOENT));
        }
    }
    // Refused by its arguments, which are addresses.
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77,
            "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_NE"}]}],
    });
    let (_, stage, errno, text) = fixture.refusal(&confined(&fixture, &profile, &["uid"]));
    assert_eq!((stage, errno), (Stage::Exec, Some(77)), "{text}");
}

#[test]
fn profile_that_cannot_work_is_refused_before_anything_is_made() {
    let Some(fixture) = fixture() else { return };
    let refusal = |profile: &Value| fixture.refusal(&confined(&fixture, profile, &["uid"]));
    let text =
        "user: security.seccomp: the profile refuses execve, with which every program begins";
    let expected = (ErrorKind::InvalidInput, Stage::User, None, text.to_owned());
    assert_eq!(refusal(&json!({"defaultAction": "SCMP_ACT_ERRNO"})), expected);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent"});
    let (kind, stage, errno, text) = refusal(&profile);
    assert_eq!((kind, stage, errno), (ErrorKind::Unsupported, Stage::User, None), "{text}");
}

#[test]
fn kernel_without_filters_is_an_error_and_unconfined_runs() {
    let Some(fixture) = fixture() else { return };
    let spec = fixture.probe(&["seccomp"]);
    for errno in [libc::ENOSYS, libc::EINVAL] {
        let number = u16::try_from(errno).expect("an errno");
        let refusal = outer::without(&["seccomp"], number, || fixture.refusal(&spec));
        let (kind, stage, found, text) = refusal;
        assert_eq!((kind, stage, found), (ErrorKind::Unsupported, Stage::User, Some(errno)));
        assert!(text.contains("seccomp(SECCOMP_SET_MODE_FILTER, 0x0, "), "{text}");
        assert!(text.contains("CONFIG_SECCOMP_FILTER"), "{text}");
    }
    let plain = unconfined(&fixture, &["uid"]);
    let answer = outer::without(&["seccomp"], 38, || fixture.answer(&plain));
    assert_eq!(answer, "0 0 0 0");
}

#[test]
fn filter_is_there_in_a_user_namespace() {
    let Some(fixture) = fixture() else { return };
    let map = || vec![IdMap { container: 0, host: 200_000, size: 65_536 }];
    for (user, no_new_privileges) in [("0", true), ("0", false), ("1000:1000", false)] {
        let mut spec = fixture.probe(&["seccomp", ",", "call", "native", "1000"]);
        spec.security.user_namespace = UserNamespace::Map { uid_maps: map(), gid_maps: map() };
        spec.security.no_new_privileges = no_new_privileges;
        spec.user = Some(user.to_owned());
        spec.rootfs = Some(fixture.rootfs("root"));
        assert_eq!(fixture.answer(&spec), "2\nerror 38", "{user} {no_new_privileges}");
    }
}

#[test]
fn notified_call_is_answered_by_the_host() {
    let Some(fixture) = fixture() else { return };
    let profile = except(&["mkdirat", "getppid"], "SCMP_ACT_NOTIFY");
    let mkdir = call(libc::SYS_mkdirat, &["-1", "0", "7"]);
    let mut words = strs(&mkdir);
    let parent = call(libc::SYS_getppid, &[]);
    words.push(",");
    words.extend(strs(&parent));
    for privileges in [true, false] {
        let mut spec = confined(&fixture, &profile, &words);
        spec.security.no_new_privileges = privileges;
        let container = fixture.start(&spec);
        let descriptor = container.take_seccomp_listener().expect("a listener");
        assert!(container.take_seccomp_listener().is_none());
        let first = listener::receive(descriptor.as_fd()).expect("a call");
        assert_eq!(libc::c_long::from(first.number), libc::SYS_mkdirat);
        assert_eq!(first.arguments[2], 7);
        listener::answer(descriptor.as_fd(), &first, Err(66)).expect("an answer");
        let second = listener::receive(descriptor.as_fd()).expect("a call");
        assert_eq!(libc::c_long::from(second.number), libc::SYS_getppid);
        listener::answer(descriptor.as_fd(), &second, Ok(4242)).expect("an answer");
        let output = container.output(b"", &spec.limits).expect("output");
        assert_eq!(output.stdout, b"error 66\n4242\n");
        drop((descriptor, container));
    }
    // Nobody holds the listener any more: ENOSYS.
    let container = fixture.start(&confined(&fixture, &profile, &strs(&mkdir)));
    drop(container.take_seccomp_listener());
    let output = container.output(b"", &RunSpec::default().limits).expect("output");
    assert_eq!(output.stdout, b"error 38\n");
}

/// Even calls that the runtime makes on its way to execve may be notified.
#[test]
fn notified_calls_of_the_runtime_itself_do_not_stop_the_start() {
    let Some(fixture) = fixture() else { return };
    let names =
        ["sendmsg", "write", "close", "prctl", "capset", "setresuid", "chdir", "mmap", "ppoll"];
    let spec = confined(&fixture, &except(&names, "SCMP_ACT_NOTIFY"), &["uid"]);
    let container = fixture.start(&spec);
    let descriptor = container.take_seccomp_listener().expect("a listener");
    let call = listener::receive(descriptor.as_fd()).expect("a call");
    assert!(call.number >= 0);
    // Its end does not need an answer.
    let exit = container.stop(Duration::ZERO).expect("an end");
    assert_eq!(exit.outcome, Outcome::Signaled);
    drop((descriptor, container));
    // A program that does not exist: no listener is left, and nobody waits.
    let mut spec = confined(&fixture, &except(&names, "SCMP_ACT_NOTIFY"), &[]);
    spec.args = vec!["/no/such/program".into()];
    let (kind, stage, ..) = fixture.refusal(&spec);
    assert_eq!((kind, stage), (ErrorKind::ProgramNotFound, Stage::Exec));
}

#[test]
fn listener_is_absent_without_a_notifying_profile() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["descriptors"]));
    assert!(container.take_seccomp_listener().is_none());
    let output = container.output(b"", &RunSpec::default().limits).expect("output");
    let kinds = |text: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(text);
        text.lines().map(|line| line.split('[').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(kinds(&output.stdout), ["0 pipe:", "1 pipe:", "2 pipe:"]);
    drop(container);
    // The program of a notifying profile has no other descriptors.
    let profile = except(&["mkdirat"], "SCMP_ACT_NOTIFY");
    let container = fixture.start(&confined(&fixture, &profile, &["descriptors"]));
    let output = container.output(b"", &RunSpec::default().limits).expect("output");
    assert_eq!(kinds(&output.stdout), ["0 pipe:", "1 pipe:", "2 pipe:"]);
}

#[test]
fn config_shows_the_profile_as_applied() {
    let Some(fixture) = fixture() else { return };
    let shown = |spec: &RunSpec| -> Value {
        let container = fixture.start(spec);
        let text = std::fs::read(container.directory().join("config.json")).expect("config.json");
        container.stop(Duration::ZERO).expect("an end");
        let config: Value = serde_json::from_slice(&text).expect("JSON");
        config["linux"]["seccomp"].clone()
    };
    let default = shown(&fixture.probe(&["forever"]));
    assert_eq!(default["defaultAction"], "SCMP_ACT_ERRNO");
    let names = |profile: &Value| profile["syscalls"].to_string();
    assert!(names(&default).contains("\"read\"") && !names(&default).contains("unshare"));
    let mut spec = fixture.probe(&["forever"]);
    spec.security.capabilities.add = vec!["SYS_ADMIN".into()];
    assert!(names(&shown(&spec)).contains("unshare"));
    let profile = except(&["mkdirat"], "SCMP_ACT_LOG");
    assert_eq!(shown(&confined(&fixture, &profile, &["forever"])), profile);
    assert_eq!(shown(&unconfined(&fixture, &["forever"])), Value::Null);
}
