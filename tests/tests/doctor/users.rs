//! Ordinary users: with subordinate ids, and with each thing that makes them
//! taken away.

use crate::report::{Place, Report};
use crate::root_fixture;

/// An ordinary user with subordinate ids, whom only a mount namespace knows.
const USER: &str = "libctr-doctor";
const ID: u32 = 54_321;
const KNOWN: &str = "known=${2%/own/run}/known; mkdir $known; for file in passwd subuid subgid; do
    test -e /etc/$file || : > /etc/$file; cat /etc/$file > $known/$file; done
    echo libctr-doctor:x:54321:54321::/nonexistent:/bin/sh >> $known/passwd
    for file in subuid subgid; do echo libctr-doctor:3000000000:65536 >> $known/$file; done
    for file in passwd subuid subgid; do
    chmod 644 $known/$file; mount --bind $known/$file /etc/$file; done";

/// Runs the doctor as the user, after `before` was done as root in a mount
/// namespace of its own.
fn as_user(before: &str) -> Report {
    let place = Place::of(ID, ID);
    let script = format!(
        "{KNOWN}\n{before}\nexec setpriv --reuid={ID} --regid={ID} --clear-groups \
         env -u XDG_RUNTIME_DIR \"$@\""
    );
    let report = place.script(&["unshare", "--mount"], &script);
    place.assert_clean();
    report.agrees()
}

#[test]
fn user_with_subordinate_ids_runs_containers() {
    let Some(_fixture) = root_fixture() else { return };
    let report = as_user("");
    for name in ["namespace.user", "namespace.user.mapped", "subuid", "newuidmap", "overlay"] {
        assert_eq!(report.of(name).0, "ok", "{:?}", report.of(name));
    }
    assert!(["full", "without_limits"].contains(&report.level()));
}

#[test]
fn user_without_newuidmap_runs_with_one_id_and_is_told_the_package() {
    let Some(_fixture) = root_fixture() else { return };
    // Not only an empty file, which would still be a file.
    let gone = "for tool in newuidmap newgidmap; do for dir in /usr/bin /bin; do \
                test ! -f $dir/$tool || mount --bind /dev/null $dir/$tool; done; done";
    let report = as_user(gone);
    assert_eq!(report.of("newuidmap"), ("degraded", "newuidmap and newgidmap are not installed"));
    let fix = report.fix("newuidmap").expect("a fix");
    assert!(fix.starts_with("as root: "), "{fix}");
    assert_eq!(report.of("namespace.user").0, "ok");
    assert_eq!(report.fix("namespace.user.mapped"), Some(fix));
}

#[test]
fn user_with_a_newuidmap_that_may_not_map_is_told_so() {
    let Some(_fixture) = root_fixture() else { return };
    let empty = "touch /run/libctr-doctor-empty; chmod 755 /run/libctr-doctor-empty; \
                 mount --bind /run/libctr-doctor-empty $(readlink -f /usr/bin/newuidmap); \
                 rm -f /run/libctr-doctor-empty";
    // The name goes with the mount namespace: it lies on a tmpfs of its own.
    let report = as_user(&format!("mount -t tmpfs t /run\n{empty}"));
    let (state, detail) = report.of("newuidmap");
    assert_eq!(state, "missing", "{detail}");
    assert!(detail.contains("neither setuid root nor"), "{detail}");
    assert_eq!(
        report.fix("newuidmap"),
        Some("as root: chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap")
    );
    let (state, detail) = report.of("namespace.user.mapped");
    assert_eq!(state, "missing", "{detail}");
    assert_eq!(report.of("namespace.user").0, "ok");
    assert!(["degraded_only", "nothing"].contains(&report.level()));
}

#[test]
fn user_without_subordinate_ids_runs_with_one_id_and_is_told_the_command() {
    let Some(_fixture) = root_fixture() else { return };
    let none = "mount --bind /dev/null /etc/subuid";
    let report = as_user(none);
    let detail = format!("/etc/subuid has no range for {USER}");
    assert_eq!(report.of("subuid"), ("degraded", detail.as_str()));
    let fix = report.fix("subuid").expect("a fix");
    assert!(fix.starts_with("as root: usermod --add-subuids "), "{fix}");
    assert!(fix.ends_with(USER), "{fix}");
    assert_eq!(report.of("namespace.user.mapped").0, "degraded");
    assert_eq!(report.of("overlay").0, "ok");
}

const MAPPED: [&str; 3] = ["unshare", "--user", "--map-root-user"];

#[test]
fn user_namespaces_that_are_forbidden_are_told_with_the_sysctl() {
    let Some(_fixture) = root_fixture() else { return };
    let place = Place::new();
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
    let report = place.script(&MAPPED, script).agrees();
    let (state, detail) = report.of("namespace.user");
    assert_eq!(state, "missing");
    let expected = "clone(): ENOSPC (No space left on device): user.max_user_namespaces is 0";
    assert_eq!(detail, expected);
    let fix = "as root: sysctl -w user.max_user_namespaces=15000";
    assert_eq!(report.fix("namespace.user"), Some(fix));
    // What follows from it is not told as if it were something else.
    assert_eq!(report.of("mount.proc"), ("missing", "not without namespace.user.mapped"));
    assert_eq!(report.fix("mount.proc"), None);
    assert!(["degraded_only", "nothing"].contains(&report.level()));
    place.assert_clean();
}

#[test]
fn user_namespaces_that_are_allowed_are_used() {
    let Some(_fixture) = root_fixture() else { return };
    let place = Place::new();
    let report = place.script(&MAPPED, "exec \"$@\"").agrees();
    assert_eq!(report.of("namespace.user").0, "ok");
    assert_eq!(report.of("namespace.user.mapped").0, "ok");
    assert_eq!(report.of("mount.proc").0, "ok");
    place.assert_clean();
}
