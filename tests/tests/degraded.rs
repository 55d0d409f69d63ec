//! Where user namespaces are forbidden: an error, or, if the caller allows it,
//! a process of the host behind other walls.
//!
//! Each test runs once more in a user namespace that may have no further ones
//! (user_namespaces(7), `max_user_namespaces`).

use std::process::Command;
use std::time::Duration;

use libctr::spec::{Degraded, Mount, Network, RunSpec, Seccomp};
use libctr::{ErrorKind, Outcome, RootMount, Stage};
use libctr_tests::{Fixture, fixture, lacks, skip};

const INSIDE: &str = "LIBCTR_TEST_NO_NAMESPACES";

/// Runs `test` of this file where namespaces are forbidden.
fn without_namespaces(test: &str, inside: impl FnOnce(&Fixture)) {
    if std::env::var_os(INSIDE).is_some() {
        let fixture = Fixture::take();
        if test.starts_with("degraded_") && lacks("landlock_create_ruleset") {
            let (kind, stage, _, text) = fixture.refusal(&shell(&fixture, "true"));
            assert_eq!((kind, stage), (ErrorKind::Unsupported, Stage::Launch), "{text}");
            let wanted = "launch: degraded: the kernel has no Landlock of version 6 (Linux 6.12)";
            assert_eq!(text, wanted);
            return;
        }
        return inside(&fixture);
    }
    // Other tests of this process count its children.
    let _alone = Fixture::take();
    let myself = std::env::current_exe().expect("a path");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(myself)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    match status {
        Ok(status) => assert!(status.success(), "{status}"),
        Err(error) => skip(&format!("unshare(1): {error}")),
    }
}

fn shell(fixture: &Fixture, script: &str) -> RunSpec {
    let args = ["/bin/sh", "-c", script].map(Into::into).into();
    let mut spec = RunSpec { args, degraded: Degraded::Allow, ..RunSpec::default() };
    let (name, mark) = fixture.mark();
    spec.env.insert(name, Some(mark.as_str().into()));
    spec
}

#[test]
fn run_without_namespaces_is_an_error_that_says_what_helps() {
    without_namespaces("run_without_namespaces_is_an_error_that_says_what_helps", |fixture| {
        let mut spec = shell(fixture, "true");
        spec.degraded = Degraded::Deny;
        let (kind, stage, errno, text) = fixture.refusal(&spec);
        assert_eq!((kind, stage, errno), (ErrorKind::Unsupported, Stage::Launch, Some(28)));
        assert!(text.contains("user.max_user_namespaces"), "{text}");
    });
}

#[test]
fn degraded_program_has_the_filter_of_system_calls() {
    without_namespaces("degraded_program_has_the_filter_of_system_calls", |fixture| {
        let mut spec = shell(fixture, "sed -n 's/^Seccomp:\\t//p' /proc/self/status");
        assert_eq!(fixture.answer(&spec), "2");
        spec.security.seccomp = Seccomp::Unconfined;
        assert_eq!(fixture.answer(&spec), "0");
        // Nobody is there who could carry the listener.
        let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#;
        spec.security.seccomp = serde_json::from_str(profile).expect("a profile");
        let (kind, stage, _, text) = fixture.refusal(&spec);
        assert_eq!((kind, stage), (ErrorKind::Unsupported, Stage::Launch));
        assert!(text.contains("degraded: SCMP_ACT_NOTIFY needs namespaces"), "{text}");
    });
}

#[test]
fn degraded_program_reads_the_system_and_writes_its_own_directory_only() {
    let name = "degraded_program_reads_the_system_and_writes_its_own_directory_only";
    without_namespaces(name, |fixture| {
        let script = "echo x > $TMPDIR/x && cat $TMPDIR/x /etc/hostname > /dev/null && echo fine";
        assert_eq!(fixture.answer(&shell(fixture, script)), "fine");
        let place = fixture.directory("outside");
        std::fs::write(place.join("file"), "outside").expect("file");
        let place = place.display();
        for script in [
            format!("cat {place}/file"),
            format!("echo x > {place}/new"),
            format!("rm {place}/file"),
            "ls /root".into(),
            "echo x > /tmp/libctr-degraded".into(),
        ] {
            let output = fixture.run(&shell(fixture, &script));
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.exit.code != Some(0) && text.contains("ermission denied"),
                "{script}: {text}"
            );
        }
    });
}

#[test]
fn degraded_program_writes_where_a_writable_bind_is() {
    without_namespaces("degraded_program_writes_where_a_writable_bind_is", |fixture| {
        let place = fixture.directory("shared");
        let mut spec = shell(fixture, &format!("echo x > {}/new && echo fine", place.display()));
        spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&place, &place) });
        assert_eq!(fixture.answer(&spec), "fine");
        spec.mounts[0].read_only = Some(true);
        assert_eq!(fixture.run(&spec).exit.code, Some(2));
        spec.mounts[0].target = "/elsewhere".into();
        let (kind, _, _, text) = fixture.refusal(&spec);
        assert_eq!(kind, ErrorKind::Unsupported);
        assert_eq!(
            text,
            "launch: degraded: mounts need namespaces, but for binds of a path onto itself"
        );
    });
}

#[test]
fn degraded_program_signals_and_calls_nobody_outside() {
    without_namespaces("degraded_program_signals_and_calls_nobody_outside", |fixture| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("address").port();
        let call = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        let bash = |script: &str| {
            let mut spec = shell(fixture, script);
            spec.args[0] = "/bin/bash".into();
            spec
        };
        let refused = fixture.run(&bash(&call));
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.exit.code == Some(1) && text.contains("Permission denied"), "{text}");
        let mut open = bash(&call);
        open.network = Network::Host;
        assert_eq!(fixture.run(&open).exit.code, Some(0));

        let kill = fixture.run(&shell(fixture, &format!("kill -0 {}", std::process::id())));
        assert_eq!(kill.exit.code, Some(1));
        let own = fixture.run(&shell(fixture, "sleep 9 & kill $! && echo fine"));
        assert_eq!(own.stdout, b"fine\n");
    });
}

#[test]
fn degraded_program_ends_with_all_that_it_has_started() {
    without_namespaces("degraded_program_ends_with_all_that_it_has_started", |fixture| {
        let daemons = "for i in 1 2 3; do (setsid sleep 77 &); done; echo fine";
        assert_eq!(fixture.answer(&shell(fixture, daemons)), "fine");
        fixture.assert_clean();
        let mut spec = shell(fixture, "(setsid sleep 77 &); sleep 78");
        spec.limits.wall_time = Some(Duration::from_millis(200));
        assert_eq!(fixture.run(&spec).exit.outcome, Outcome::WallTimeout);
        fixture.assert_clean();
    });
}

#[test]
fn degraded_container_says_so_and_refuses_what_needs_namespaces() {
    let name = "degraded_container_says_so_and_refuses_what_needs_namespaces";
    without_namespaces(name, |fixture| {
        let container = fixture.start(&shell(fixture, "sleep 9"));
        assert_eq!(container.info().expect("info").root, RootMount::Degraded);
        drop(container.stop(Duration::ZERO));
        let mut tty = shell(fixture, "true");
        tty.tty = true;
        let (_, _, _, text) = fixture.refusal(&tty);
        assert_eq!(text, "launch: degraded: tty needs namespaces");
        let mut rootfs = shell(fixture, "true");
        rootfs.rootfs = Some(fixture.rootfs("root"));
        rootfs.image = None;
        assert_eq!(fixture.refusal(&rootfs).0, ErrorKind::Unsupported);
    });
}

#[test]
fn namespaces_that_can_be_made_are_made_whatever_is_allowed() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&shell(&fixture, "sleep 9"));
    assert_eq!(container.info().expect("info").root, RootMount::Overlay);
    drop(container.stop(Duration::ZERO));
}
