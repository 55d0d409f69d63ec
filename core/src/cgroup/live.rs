//! Real groups with real processes in them, on whatever this machine has.
//!
//! Needs a place where groups may be made: root, or a delegated group. Where
//! there is none the tests skip with a printed reason, or fail if
//! `LIBCTR_TEST_CGROUP=require` promises one. A hybrid machine is tested as it
//! is, as pure v1, and as v1 without a freezer, by not looking at the rest.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Controller, Groups, Hierarchies, Limits, Setup};
use crate::error::Result;

mod devices;
mod limits;
mod systemd;
mod tree;

/// Long enough for an emulated machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A container's groups and its first process. Both are gone when a test ends,
/// however it ends.
struct Container {
    groups: Groups,
    /// Whether devices are filtered.
    filtered: bool,
    child: Option<Child>,
}

impl Container {
    fn start(machine: &Hierarchies, limits: &Limits, script: &str) -> Container {
        let mut container = Container::create(machine, limits).unwrap();
        container.run(script);
        container
    }

    fn create(machine: &Hierarchies, limits: &Limits) -> Result<Container> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("test-{}-{number}", std::process::id());
        let setup = Setup::choose(machine, &id, limits, None)?;
        let filtered = setup.create()?;
        Ok(Container { groups: setup.groups, filtered, child: None })
    }

    /// A shell that enters the groups as pid 1 does, and then runs `script`.
    fn run(&mut self, script: &str) {
        let enter = "for f; do echo 0 >\"$f\" || exit 99; done\n";
        let v2 = self.groups.v2.iter().map(|dir| dir.join("cgroup.procs"));
        let v1 = self.groups.v1.values().map(|dir| dir.join("tasks"));
        let child = Command::new("/bin/sh")
            .args(["-c", &format!("{enter}{script}"), "sh"])
            .args(v2.chain(v1))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        // The last group is entered last.
        let last = self.groups.v1.values().last().or(self.groups.v2.as_ref()).unwrap().clone();
        until("the process is in", || {
            std::fs::read_to_string(last.join("cgroup.procs")).is_ok_and(|text| !text.is_empty())
                || self.child.as_mut().unwrap().try_wait().unwrap().is_some()
        });
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().unwrap().id()).unwrap()
    }

    /// The signal that ended the first process.
    fn wait_signal(&mut self) -> Option<i32> {
        self.child.take().unwrap().wait().unwrap().signal()
    }

    /// Whether the controller is served by v2.
    fn has_v2(&self, controller: Controller) -> bool {
        !self.groups.v1.contains_key(&controller)
    }

    /// A control file of one controller.
    fn text(&self, controller: Controller, v2: &str, v1: &str) -> String {
        let (dir, name) = match self.groups.v1.get(&controller) {
            Some(dir) => (dir, v1),
            None => (self.groups.v2.as_ref().unwrap(), v2),
        };
        std::fs::read_to_string(dir.join(name)).unwrap().trim_end().to_owned()
    }

    /// Ends it the way a monitor does, and looks for what is left.
    fn finish(mut self) {
        self.groups.kill().unwrap();
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
        until("the tree is empty", || self.groups.is_empty().unwrap());
        self.groups.remove().unwrap();
        assert!(self.groups.dirs().iter().all(|dir| !dir.exists()));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.groups.kill();
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        let _ = self.groups.remove();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        sleep(Duration::from_millis(1));
    }
}

/// What this machine can stand for; nothing, with a printed reason, where no
/// group can be made.
fn machines() -> Vec<Hierarchies> {
    let as_it_is = Hierarchies::discover().unwrap();
    let usable = Setup::choose(&as_it_is, "probe", &Limits::default(), None).unwrap().groups;
    if usable.is_none() {
        skip("no place for cgroups: not root, and not in a delegated group");
        return Vec::new();
    }
    let mut machines = vec![as_it_is.clone()];
    if as_it_is.v2.is_some() && usable.v1.contains_key(&Controller::Pids) {
        let mut v1 = as_it_is;
        v1.v2 = None;
        machines.push(v1.clone());
        v1.v1.remove(&Controller::Freezer);
        machines.push(v1);
    }
    machines
}

#[expect(clippy::print_stderr, reason = "a skip must be seen")]
fn skip(reason: &str) {
    assert_ne!(std::env::var("LIBCTR_TEST_CGROUP").as_deref(), Ok("require"), "{reason}");
    eprintln!("skipped: {reason}");
}
