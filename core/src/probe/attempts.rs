//! What the helper has tried: started with a plan that says so, it answers
//! with one packet for each ability.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use libctr_helper::ability::{Ability, Verdict};
use libctr_helper::message::Message;
use libctr_helper::plan::{Field, Kind, job};
use nix::errno::Errno;

use super::Finding;
use super::groups::Groups;
use super::identity::Identity;
use super::places::{Places, detail};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::plan::Plan;
use crate::helper::{self, channel};
use crate::{sys, wait};

/// For the helper's end, once it was told to.
const PATIENCE: Duration = Duration::from_secs(2);

/// Everything that was answered.
#[derive(Debug)]
pub(super) struct Attempts {
    verdicts: BTreeMap<u8, Verdict>,
    /// Why the program could not be executed from memory.
    memory: Option<Error>,
    /// Why nothing or not everything could be tried.
    stopped: Option<Error>,
    /// When it has to be over.
    end: Instant,
}

/// Has the helper try everything.
pub(super) fn run(
    identity: &Identity,
    places: &Places,
    groups: &Groups,
    given: Option<&Path>,
    end: Instant,
) -> Attempts {
    let mut attempts = Attempts { verdicts: BTreeMap::new(), memory: None, stopped: None, end };
    if let Err(error) = attempts.fill(identity, places, groups, given) {
        attempts.stopped = Some(error);
    }
    attempts
}

impl Attempts {
    /// What became of a try; `None` where it was not tried.
    pub(super) fn verdict(&self, ability: Ability) -> Option<Verdict> {
        self.verdicts.get(&(ability as u8)).copied().filter(|verdict| *verdict != Verdict::Untried)
    }

    /// Whether a try worked.
    pub(super) fn works(&self, ability: Ability) -> bool {
        matches!(self.verdict(ability), Some(Verdict::Works(_)))
    }

    fn fill(
        &mut self,
        identity: &Identity,
        places: &Places,
        groups: &Groups,
        given: Option<&Path>,
    ) -> Result<()> {
        let (ours, theirs) = channel::pair()?;
        let mut plan = Plan::new();
        plan.set(Field::Job, job::PROBE);
        plan.set(Field::Uid, identity.uid());
        plan.set(Field::Gid, identity.gid());
        if identity.users().is_some() {
            plan.set(Field::CloneFlags, u64::from(libc::CLONE_NEWUSER.cast_unsigned()));
        }
        if let Some(users) = identity.widest() {
            users.write(&mut plan);
        }
        let mut path = |kind, path: &Path| {
            plan.record(kind, |body| {
                body.path(path);
            });
        };
        path(Kind::Scratch, &places.stage());
        if let Some(data) = places.data() {
            path(Kind::ScratchOnData, &data);
        }
        if let Some(group) = groups.v2() {
            path(Kind::GroupV2, group);
        }
        plan.descriptor(Field::Channel, theirs.as_fd());
        let bytes = plan.to_bytes();
        let helper = self.start_helper(&bytes, theirs.as_raw_fd(), places, given)?;
        drop(theirs);
        let result = self.listen(&ours, &helper);
        // It has ended by itself, or hangs.
        let _ = sys::pidfd_send_signal(helper.as_fd(), libc::SIGKILL);
        let _ = wait::until_readable(helper.as_fd(), Some(PATIENCE));
        sys::reap_pidfd(helper.as_fd());
        result
    }

    /// From memory, or else from where a launch would execute it.
    fn start_helper(
        &mut self,
        plan: &[u8],
        channel: i32,
        places: &Places,
        given: Option<&Path>,
    ) -> Result<OwnedFd> {
        let forbidden = |error: &Error| {
            matches!(error.errno().map(Errno::from_raw), Some(Errno::EACCES | Errno::EPERM))
        };
        match helper::start(plan, &[channel], given, &[]) {
            Err(error) if given.is_none() && forbidden(&error) => {
                self.memory = Some(error);
                let places = places.executable();
                let places: Vec<_> = places.iter().map(AsRef::as_ref).collect();
                helper::start(plan, &[channel], None, &places)
            }
            other => other,
        }
    }

    fn listen(&mut self, channel: &channel::Channel, helper: &OwnedFd) -> Result<()> {
        let ended = |message: &str, hint: &str| {
            Err(Error::new(Stage::Launch, ErrorKind::SetupFailed, message).with_hint(hint))
        };
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            if !wait::until_readable(channel.as_fd(), Some(left))? {
                return ended("the tries took more than ten seconds", "");
            }
            match channel.receive(None)? {
                Some((Message::Tried { ability, verdict }, _)) => {
                    self.verdicts.insert(ability, verdict);
                }
                Some((Message::Done, _)) => return Ok(()),
                Some(_) => {}
                None => {
                    // Then the last packet has been read.
                    let _ = wait::until_readable(helper.as_fd(), Some(left));
                    return ended(
                        "the helper ended before it had tried everything",
                        "a filter of system calls that kills may be around this process",
                    );
                }
            }
        }
    }

    /// The start of the helper itself, with which every container begins.
    pub(super) fn start(&self, places: &Places) -> Vec<Finding> {
        let mut findings = vec![match &self.stopped {
            None => Finding::ok("helper", "the helper starts, and has tried what follows"),
            Some(error) => Finding::missing("helper", detail(error), "nothing can be run")
                .with_fix(error.hint().filter(|hint| !hint.is_empty()).map(ToOwned::to_owned)),
        }];
        findings.push(match &self.memory {
            None => Finding::ok("memfd.exec", "programs in memory can be executed"),
            Some(error) => {
                let consequence = "the helper is executed from a file of the run or data directory";
                let forbidden = super::settings::value("/proc/sys/vm/memfd_noexec");
                let fix = forbidden
                    .filter(|value| value == "2")
                    .map(|_| "as root: sysctl -w vm.memfd_noexec=1".to_owned());
                match (&self.stopped, places.executable().is_empty()) {
                    (None, false) => {
                        Finding::degraded("memfd.exec", detail(error), consequence).with_fix(fix)
                    }
                    _ => Finding::missing("memfd.exec", detail(error), "nothing can be run")
                        .with_fix(fix),
                }
            }
        });
        findings
    }
}
