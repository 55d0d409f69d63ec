//! When systemd is asked, and what becomes of its answer.

use std::cell::Cell;

use super::machine::{Machine, hybrid, pids, rootless};
use crate::cgroup::setup::Setup;
use crate::cgroup::{Limits, Manager};
use crate::error::{Error, ErrorKind, Result, Stage};
use std::fs;

const MANAGER: &str = "/user.slice/user@7.service";

/// A login session beside its user's manager, which has three controllers.
fn session() -> Machine {
    Machine::new()
        .mount("v2", "/", "cgroup2", "rw")
        .group("v2", "", "cpu io memory pids", None, "")
        .group("v2/user.slice", "domain\n", "cpu io memory pids", None, "")
        .group("v2/user.slice/session.scope", "domain\n", "memory pids", None, "77\n")
        .group(&format!("v2{MANAGER}"), "domain\n", "cpu memory pids", Some("memory"), "")
        .own("0::/user.slice/session.scope")
}

fn manager() -> Result<Manager> {
    Ok(Manager::of("/run/x/private", MANAGER))
}

fn absent() -> Result<Manager> {
    Err(Error::new(Stage::Cgroup, ErrorKind::NotFound, "connect(\"/x\")"))
}

/// The setup, and whether systemd was asked.
fn choose(
    machine: &Machine,
    limits: &Limits,
    systemd: fn() -> Result<Manager>,
) -> (Result<Setup>, bool) {
    let asked = Cell::new(false);
    let ask = || {
        asked.set(true);
        systemd()
    };
    (machine.choose_with(Some(&ask), limits), asked.get())
}

#[test]
fn session_without_a_place_gets_a_scope() {
    let machine = session();
    let (setup, asked) = choose(&machine, &pids(5), manager);
    let setup = setup.unwrap();
    assert!(asked && setup.needs_helper());
    let scope = machine.dir(&format!("v2{MANAGER}/app.slice/libctr-1f.scope"));
    assert_eq!(setup.groups.v2, Some(scope.join("container")));
    let (dir, controllers) = setup.enable.unwrap();
    assert_eq!((dir, controllers.len()), (scope, 2));
    assert_eq!(setup.settings[0].0, setup.groups.v2.unwrap());
}

#[test]
fn place_that_supplies_all_needs_no_systemd() {
    let machine = rootless();
    let (setup, asked) = choose(&machine, &pids(5), manager);
    assert!(!setup.unwrap().needs_helper() && !asked);
    let (setup, asked) = choose(&hybrid(), &pids(5), manager);
    assert!(!setup.unwrap().needs_helper() && !asked);
}

#[test]
fn place_that_supplies_as_much_as_systemd_is_kept() {
    // It lacks io, as the manager's group does.
    let machine = session().group("v2/mine", "domain\n", "cpu memory pids", Some(""), "").group(
        "v2/mine/leaf",
        "domain\n",
        "",
        Some(""),
        "7\n",
    );
    let machine = machine.replace_own("0::/mine/leaf");
    let limits = Limits { io_weight: Some(10), ..pids(5) };
    let (setup, asked) = choose(&machine, &limits, manager);
    let error = setup.unwrap_err();
    assert!(asked);
    let text = format!("{:?} was not given the controller io", machine.dir("v2/mine"));
    assert!(error.message().ends_with(&text), "{error}");
}

#[test]
fn groups_that_systemd_deals_controllers_out_in_are_no_place() {
    for own in ["v2/user.slice/user@7.service/app.slice", "v2/user.slice/user@7.service"] {
        let leaf = format!("{own}/leaf.scope");
        let machine = session()
            .group("v2/user.slice/user@7.service/init.scope", "domain\n", "", None, "5\n")
            .group(own, "domain\n", "cpu memory pids", Some("memory pids"), "")
            .group(&leaf, "domain\n", "memory pids", Some(""), "7\n")
            .replace_own(&leaf.replace("v2/", "0::/"));
        let (setup, asked) = choose(&machine, &pids(5), manager);
        assert!(asked && setup.unwrap().needs_helper(), "{own}");
        assert!(machine.choose(&pids(5)).unwrap().groups.is_none(), "{own}");
    }
}

#[test]
fn controller_that_systemd_lacks_is_refused_with_the_command() {
    let machine = session();
    let limits = Limits { io_weight: Some(10), ..Limits::default() };
    let error = choose(&machine, &limits, manager).0.unwrap_err();
    assert_eq!((error.kind(), error.stage()), (ErrorKind::Unsupported, Stage::Cgroup));
    let dir = machine.dir(&format!("v2{MANAGER}"));
    let text =
        format!("limits.io weight cannot be enforced: {dir:?} was not given the controller io");
    assert_eq!(error.message(), text);
}

#[test]
fn systemd_that_is_absent_matters_only_to_asked_limits() {
    let machine = session();
    let (setup, asked) = choose(&machine, &pids(4096), absent);
    assert!(asked && setup.unwrap().groups.is_none());
    let limits = Limits { memory: Some(1 << 20), ..Limits::default() };
    let error = choose(&machine, &limits, absent).0.unwrap_err();
    assert_eq!((error.kind(), error.stage()), (ErrorKind::Denied, Stage::Cgroup));
    let text = "limits.memory cannot be enforced: no control group is delegated to this user, \
                and systemd's user manager gives none: connect(\"/x\")";
    assert_eq!(error.message(), text);
    assert!(error.hint().unwrap().contains("as root: "), "{error}");
}

#[test]
fn manager_of_another_hierarchy_gives_nothing() {
    let machine = session();
    fs::remove_dir_all(machine.dir(&format!("v2{MANAGER}"))).unwrap();
    let limits = Limits { memory: Some(1 << 20), ..Limits::default() };
    let error = choose(&machine, &limits, manager).0.unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Denied, Some(libc::ENOENT)));
}

#[test]
fn cancelled_question_ends_the_choice() {
    let cancelled = || Err(Error::new(Stage::Launch, ErrorKind::Cancelled, "cancelled"));
    let (setup, _) = choose(&session(), &pids(4096), cancelled);
    assert_eq!(setup.unwrap_err().kind(), ErrorKind::Cancelled);
}
