//! The part of the plan that filters system calls.
//!
//! Stage `user`, host side. What the caller wants becomes a BPF program before
//! anything is made: the engines' default profile, compiled when the library
//! was built for the usual capabilities, or a profile of the OCI runtime
//! specification (config-linux.md, "Seccomp"). Sources: seccomp(2).

mod document;

use std::borrow::Cow;

use libctr_helper::plan::{Kind, flag};
use libctr_seccomp::{Action, Instruction, Machine, Profile, compile, engines};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::plan::Plan;
use crate::spec::{RunSpec, Seccomp};

/// The default profile with the usual capabilities (`core/build.rs`).
static USUAL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/seccomp.bpf"));

// linux/seccomp.h. TSYNC is for programs with threads, which the one that
// loads a filter here has not.
const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;
const FLAG_NEW_LISTENER: u32 = 1 << 3;
const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// A filter of system calls.
#[derive(Debug)]
pub(super) struct Filter {
    program: Cow<'static, [u8]>,
    flags: u32,
    /// The profile in the words of the specification.
    pub(super) document: LinuxSeccomp,
}

impl Filter {
    #[cfg(fuzzing)]
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.program.to_vec()
    }

    /// Whether somebody has to answer calls.
    pub(super) fn notifies(&self) -> bool {
        self.flags & FLAG_NEW_LISTENER != 0
    }
}

/// The filter that `spec` asks for; `None`: none. `bounding`: the program's
/// bounding set, by which the default profile decides.
pub(super) fn filter(spec: &RunSpec, bounding: u64) -> Result<Option<Filter>> {
    let (profile, flags, document) = match &spec.security.seccomp {
        Seccomp::Unconfined => return Ok(None),
        Seccomp::Default => {
            let profile = engines::profile(bounding);
            let document = document::of(&profile);
            if bounding & engines::CAPABILITIES == engines::USUAL {
                return Ok(Some(Filter { program: USUAL.into(), flags: 0, document }));
            }
            (profile, 0, document)
        }
        Seccomp::Profile(document) => {
            let profile = document::profile(document)?;
            let flags = flags(spec, document, &profile)?;
            starts(&profile)?;
            (profile, flags, document.as_ref().clone())
        }
    };
    let program = compile(&profile, Machine::NATIVE).map_err(|error| wrong(error.to_string()))?;
    let program = program.into_iter().flat_map(Instruction::to_bytes).collect();
    Ok(Some(Filter { program: Cow::Owned(program), flags, document }))
}

/// An error in the caller's profile.
fn wrong(text: impl std::fmt::Display) -> Error {
    Error::new(Stage::User, ErrorKind::InvalidInput, format!("security.seccomp: {text}"))
}

fn flags(spec: &RunSpec, document: &LinuxSeccomp, profile: &Profile) -> Result<u32> {
    let mut flags = 0;
    for flag in document.flags().iter().flatten() {
        flags |= match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => FLAG_LOG,
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => 0,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => FLAG_SPEC_ALLOW,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => FLAG_WAIT_KILLABLE_RECV,
        };
    }
    if profile.rules.iter().any(|rule| rule.action == Action::Notify) {
        flags |= FLAG_NEW_LISTENER;
        if !spec.init {
            return Err(wrong(
                "SCMP_ACT_NOTIFY needs \"init\": true, which passes the listener on",
            ));
        }
    } else if flags & FLAG_WAIT_KILLABLE_RECV != 0 {
        let text = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is for profiles with SCMP_ACT_NOTIFY";
        return Err(wrong(text));
    }
    Ok(flags)
}

/// Refuses a profile with which no program can begin. What it says of execve
/// holds for the execve that executes the program, too, and nobody answers
/// notifications before that.
fn starts(profile: &Profile) -> Result<()> {
    if profile.default == Action::Notify {
        return Err(wrong("SCMP_ACT_NOTIFY cannot be the default action"));
    }
    for name in ["execve", "exit_group"] {
        let mut rules = profile.rules.iter().filter(|rule| rule.name == name);
        if rules.any(|rule| rule.action == Action::Notify) {
            let text = format!("SCMP_ACT_NOTIFY cannot be used for {name}");
            return Err(wrong(text).with_hint("nobody can answer before the program runs"));
        }
    }
    let mut rules =
        profile.rules.iter().filter(|rule| rule.name == "execve" && rule.action != profile.default);
    let first = rules.clone().find(|rule| rule.arguments.is_empty());
    let action = match (first, rules.next()) {
        (Some(rule), _) => rule.action,
        (None, None) => profile.default,
        // That the arguments decide, which are addresses, is for execve to say.
        (None, Some(_)) => return Ok(()),
    };
    match action {
        Action::Allow | Action::Log | Action::Trace(_) => Ok(()),
        _ => Err(wrong("the profile refuses execve, with which every program begins")),
    }
}

/// Writes the filter, if there is one.
pub(super) fn write(plan: &mut Plan, spec: &RunSpec, filter: Option<&Filter>) {
    let Some(filter) = filter else { return };
    let Filter { program, flags, .. } = filter;
    plan.flag(flag::LISTENER, filter.notifies());
    plan.flag(flag::FILTER_CAP, !spec.security.no_new_privileges);
    plan.record(Kind::Filter, |body| {
        let count = u32::try_from(program.len() / 8).unwrap_or(u32::MAX);
        body.u32(*flags).u32(count).bytes(program);
    });
}

#[cfg(test)]
mod tests;
