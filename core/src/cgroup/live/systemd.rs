//! Groups in scopes of a real systemd user manager: `make test-systemd`.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Limits, Setup, until};
use crate::cgroup::{Hierarchies, Manager};
use crate::error::ErrorKind;

/// Whether there is a manager to ask; `LIBCTR_TEST_SYSTEMD` promises one.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn managed() -> bool {
    let reason = match Manager::find(None) {
        _ if nix::unistd::geteuid().is_root() => "scopes are for ordinary users".to_owned(),
        Ok(_) => return true,
        Err(error) => error.to_string(),
    };
    assert!(std::env::var_os("LIBCTR_TEST_SYSTEMD").is_none(), "{reason}");
    eprintln!("not here: {reason}");
    false
}

fn choose(id: &str, limits: &Limits) -> crate::Result<Setup> {
    let machine = Hierarchies::discover().unwrap();
    Setup::choose(&machine, id, limits, Some(&|| Manager::find(None)))
}

/// Stands for the helper: on each line it starts a program in a group.
struct Helper(Child);

impl Helper {
    fn start() -> Helper {
        let script = "while read -r dir; do (echo 0 >$dir/cgroup.procs && exec sleep 600) & done";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        Helper(command.spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    fn run_in(&mut self, dir: &Path) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{}", dir.display()).unwrap();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn id(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[test]
fn scope_holds_limits_and_goes_with_its_helper() {
    if !managed() {
        return;
    }
    let limits =
        Limits { memory: Some(64 << 20), pids: Some(20), cpus: Some(0.5), ..Limits::default() };
    let setup = choose(&id("scope"), &limits).unwrap();
    let dir = setup.groups.v2.clone().unwrap();
    assert!(setup.needs_helper());
    assert!(!dir.exists());
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let mut helper = Helper::start();
    setup.create_around(helper.pid(), None).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap().trim_end().to_owned();
    assert_eq!(read("memory.max"), (64 << 20).to_string());
    assert_eq!(read("pids.max"), "20");
    assert_eq!(read("cpu.max"), "50000 100000");
    let of_helper = std::fs::read_to_string(format!("/proc/{}/cgroup", helper.pid())).unwrap();
    assert!(of_helper.trim_end().ends_with(".scope/helper"), "{of_helper}");
    assert_eq!(std::fs::read_to_string("/proc/self/cgroup").unwrap(), own, "the host moved");

    helper.run_in(&dir);
    until("the program is in its group", || !setup.groups.is_empty().unwrap());
    setup.groups.freeze().unwrap();
    setup.groups.thaw().unwrap();
    assert_eq!(setup.groups.stats().unwrap().pids.current, Some(1));
    // A second scope of the name has to wait for the first, in vain.
    let mut second = Helper::start();
    let error = setup.create_around(second.pid(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert!(error.message().contains("UnitExists"), "{error}");
    let _ = second.0.kill();

    setup.groups.kill().unwrap();
    until("the tree is empty", || setup.groups.is_empty().unwrap());
    setup.groups.remove().unwrap();
    drop(helper);
    until("systemd has removed the scope", || !dir.parent().unwrap().exists());
}

#[test]
fn scope_of_a_helper_that_died_goes_with_all_groups_in_it() {
    if !managed() {
        return;
    }
    let setup = choose(&id("dead"), &Limits { pids: Some(9), ..Limits::default() }).unwrap();
    let dir = setup.groups.v2.clone().unwrap();
    let helper = Helper::start();
    setup.create_around(helper.pid(), None).unwrap();
    assert!(dir.exists());
    drop(helper);
    until("systemd has removed the scope", || !dir.parent().unwrap().exists());
    setup.groups.remove().unwrap();
}

#[test]
fn process_that_is_gone_gets_no_scope() {
    if !managed() {
        return;
    }
    let setup = choose(&id("gone"), &Limits { pids: Some(9), ..Limits::default() }).unwrap();
    let mut helper = Helper::start();
    let pid = helper.pid();
    helper.0.kill().unwrap();
    helper.0.wait().unwrap();
    let error = setup.create_around(pid, None).unwrap_err();
    assert!(error.message().starts_with("StartTransientUnit"), "{error}");
    assert!(!setup.groups.v2.unwrap().exists());
}

#[test]
fn controller_that_the_manager_does_not_have_names_the_delegation() {
    if !managed() {
        return;
    }
    let limits = Limits { cpuset: Some("0".into()), ..Limits::default() };
    let error = choose(&id("cpuset"), &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().ends_with("was not given the controller cpuset"), "{error}");
    assert!(error.hint().unwrap().contains("Delegate=cpu cpuset io memory pids"), "{error}");
}
