//! What containers of this caller can do here, found out by trying.
//!
//! Host side, of no stage: one call tries each ability that containers need
//! and says in words what is missing, what libctr does instead and the one
//! command that changes it. Nothing of the host changes and nothing is left:
//!
//! ```text
//! places    a directory in the run and in the data directory, removed again
//! groups    control groups `libctr-probe-…`, removed again
//! attempts  the helper (core/helper/src/probe.rs): namespaces, mounts, filters,
//!           each in a process of its own
//! settings  sysctls and files, read only to explain what has failed
//! summary   which keys of a RunSpec work
//! ```
//!
//! Errors: only what keeps the probe itself from its work; what is missing is
//! a [`Finding`].

mod attempts;
mod explain;
mod groups;
mod identity;
mod left;
mod machine;
mod places;
mod settings;
mod summary;

use std::time::{Duration, Instant};

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::error::Result;
use crate::runtime::RuntimeOptions;
use crate::state;

pub use summary::{Feature, Level, Summary};

/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether an ability is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// It works.
    Ok,
    /// It does not, and libctr does something else instead, or without.
    Degraded,
    /// It does not, and what needs it fails.
    Missing,
}

/// One ability, and what was found out about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A dotted word, stable between versions: `namespace.user`, `cgroup.memory`.
    pub ability: &'static str,
    /// Whether it is there.
    pub state: State,
    /// What was tried and what came of it, for people.
    pub detail: String,
    /// What libctr cannot do without it, or does instead. `None` where it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consequence: Option<String>,
    /// The ability without which this one could not even be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<&'static str>,
    /// The one command that changes it, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(ability: &'static str, detail: impl Into<String>) -> Finding {
        let detail = detail.into();
        let (consequence, because, fix) = (None, None, None);
        Finding { ability, state: State::Ok, detail, consequence, because, fix }
    }

    fn missing(ability: &'static str, detail: impl Into<String>, consequence: &str) -> Finding {
        let consequence = Some(consequence.to_owned());
        Finding { consequence, state: State::Missing, ..Finding::ok(ability, detail) }
    }

    fn degraded(ability: &'static str, detail: impl Into<String>, consequence: &str) -> Finding {
        Finding { state: State::Degraded, ..Finding::missing(ability, detail, consequence) }
    }

    fn with_fix(self, fix: Option<String>) -> Finding {
        Finding { fix, ..self }
    }
}

/// Everything that was found out. C: `ctr_probe_json`.
#[doc(alias = "ctr_probe_json")]
#[derive(Clone, Debug)]
pub struct Probe {
    findings: Vec<Finding>,
    kernel: String,
    uid: u32,
    users: bool,
}

impl Probe {
    /// The findings, in the order in which a container needs them.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The finding about an ability.
    #[must_use]
    pub fn finding(&self, ability: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.ability == ability)
    }

    /// Whether an ability is there as it should be.
    #[must_use]
    pub fn has(&self, ability: &str) -> bool {
        self.finding(ability).is_some_and(|finding| finding.state == State::Ok)
    }

    /// Release and machine of the kernel.
    #[must_use]
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// What of a RunSpec works for this caller.
    #[must_use]
    pub fn summary(&self) -> Summary {
        summary::of(self)
    }

    /// Whether a container of the library's has a user namespace of its own.
    fn has_users(&self) -> bool {
        self.users
    }
}

/// The document for programs: `kernel`, `uid`, `level`, `features`, `findings`.
impl Serialize for Probe {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let summary = self.summary();
        let mut document = serializer.serialize_struct("Probe", 5)?;
        document.serialize_field("kernel", &self.kernel)?;
        document.serialize_field("uid", &self.uid)?;
        document.serialize_field("level", &summary.level)?;
        document.serialize_field("features", &summary.features)?;
        document.serialize_field("findings", &self.findings)?;
        document.end()
    }
}

/// Tries what containers need, within ten seconds; a machine on which nothing
/// works is no error. C: `ctr_probe_json`.
///
/// # Errors
/// Stage `state` where no random number is to be had.
#[doc(alias = "ctr_probe_json")]
pub fn probe(options: &RuntimeOptions) -> Result<Probe> {
    let id = format!("probe-{}", &state::new_id()?[..16]);
    let end = Instant::now() + PATIENCE;
    let machine = machine::Machine::look();
    let (run, data) = options.directories();
    let places = places::Places::make(&run, &data, &id);
    let groups = groups::Groups::make(&id);
    let identity = identity::Identity::look();
    let attempts = attempts::run(&identity, &places, &groups, options.helper.as_deref(), end);

    let mut findings = attempts.start(&places);
    findings.extend(explain::findings(&machine, &identity, &attempts));
    findings.extend(identity.findings(&machine, &attempts));
    findings.extend(groups.findings(&machine));
    findings.extend(places.findings());
    findings.push(machine.log());
    Ok(Probe {
        findings,
        kernel: machine.kernel(),
        uid: identity.uid(),
        users: identity.users().is_some(),
    })
}
