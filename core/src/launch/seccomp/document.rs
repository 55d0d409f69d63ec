//! Profiles as the OCI runtime specification writes them.

use libctr_seccomp::{Abi, Action, Argument, Compare, Machine, Profile, Rule};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};

use super::wrong;
use crate::error::{ErrorKind, Result};

const EPERM: u32 = 1;

/// The profile that a document describes, with the meaning that the engines'
/// runtimes give it: calls by an ABI that is not listed kill the thread.
pub(super) fn profile(document: &LinuxSeccomp) -> Result<Profile> {
    if document.listener_path().is_some() || document.listener_metadata().is_some() {
        return Err(wrong("listenerPath and listenerMetadata are not supported")
            .with_kind(ErrorKind::Unsupported)
            .with_hint("the listener is handed to the caller as a descriptor"));
    }
    let default = action(document.default_action(), document.default_errno_ret())?;
    let mut rules = Vec::new();
    for syscall in document.syscalls().iter().flatten() {
        let action = action(syscall.action(), syscall.errno_ret())?;
        let arguments: Vec<_> = syscall.args().iter().flatten().map(argument).collect();
        let rule =
            |name: &String| Rule { name: name.clone(), action, arguments: arguments.clone() };
        rules.extend(syscall.names().iter().map(rule));
    }
    let abis = document.architectures().iter().flatten().copied().filter_map(abi).collect();
    Ok(Profile { default, foreign: Action::KillThread, unknown: None, abis, rules })
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<Action> {
    let data = || {
        let errno = errno.unwrap_or(EPERM);
        u16::try_from(errno).map_err(|_| wrong(format!("errnoRet is {errno}, at most 65535")))
    };
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            Action::KillThread
        }
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        LinuxSeccompAction::ScmpActTrap => Action::Trap,
        LinuxSeccompAction::ScmpActErrno => Action::Errno(data()?),
        LinuxSeccompAction::ScmpActNotify => Action::Notify,
        LinuxSeccompAction::ScmpActTrace => Action::Trace(data()?),
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
    })
}

fn argument(argument: &LinuxSeccompArg) -> Argument {
    let compare = match argument.op() {
        LinuxSeccompOperator::ScmpCmpNe => Compare::NotEqual,
        LinuxSeccompOperator::ScmpCmpLt => Compare::Less,
        LinuxSeccompOperator::ScmpCmpLe => Compare::LessOrEqual,
        LinuxSeccompOperator::ScmpCmpEq => Compare::Equal,
        LinuxSeccompOperator::ScmpCmpGe => Compare::GreaterOrEqual,
        LinuxSeccompOperator::ScmpCmpGt => Compare::Greater,
        LinuxSeccompOperator::ScmpCmpMaskedEq => Compare::MaskedEqual,
    };
    let value_two = argument.value_two().unwrap_or(0);
    Argument { index: argument.index(), compare, value: argument.value(), value_two }
}

/// The ABI of an architecture; none for those of other machines.
fn abi(arch: Arch) -> Option<Abi> {
    match arch {
        Arch::ScmpArchNative => Some(Machine::NATIVE.native()),
        Arch::ScmpArchX86 => Some(Abi::I386),
        Arch::ScmpArchX86_64 => Some(Abi::X86_64),
        Arch::ScmpArchX32 => Some(Abi::X32),
        Arch::ScmpArchArm => Some(Abi::Arm),
        Arch::ScmpArchAarch64 => Some(Abi::Aarch64),
        _ => None,
    }
}

/// A profile as a document, for `config.json`. The default profile's actions
/// for other ABIs and for unknown calls have no words there.
pub(super) fn of(profile: &Profile) -> LinuxSeccomp {
    let mut syscalls: Vec<LinuxSyscall> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for (index, rule) in profile.rules.iter().enumerate() {
        names.push(rule.name.clone());
        let next = profile.rules.get(index + 1);
        let alike = |next: &Rule| (next.action, &next.arguments) == (rule.action, &rule.arguments);
        if !next.is_some_and(alike) {
            syscalls.extend(syscall(std::mem::take(&mut names), rule));
        }
    }
    let (default, errno) = words(profile.default);
    let native = match Machine::NATIVE {
        Machine::X86_64 => Arch::ScmpArchX86_64,
        Machine::Aarch64 => Arch::ScmpArchAarch64,
    };
    let mut document = LinuxSeccompBuilder::default()
        .default_action(default)
        .architectures(vec![native])
        .syscalls(syscalls)
        .build()
        .unwrap_or_default();
    document.set_default_errno_ret(errno);
    document
}

fn syscall(names: Vec<String>, rule: &Rule) -> Option<LinuxSyscall> {
    let (action, errno) = words(rule.action);
    let syscall = LinuxSyscallBuilder::default().names(names).action(action);
    let mut syscall = syscall.build().ok()?;
    syscall.set_errno_ret(errno);
    if !rule.arguments.is_empty() {
        syscall.set_args(Some(rule.arguments.iter().filter_map(written).collect()));
    }
    Some(syscall)
}

fn words(action: Action) -> (LinuxSeccompAction, Option<u32>) {
    match action {
        Action::KillProcess => (LinuxSeccompAction::ScmpActKillProcess, None),
        Action::KillThread => (LinuxSeccompAction::ScmpActKillThread, None),
        Action::Trap => (LinuxSeccompAction::ScmpActTrap, None),
        Action::Errno(errno) => (LinuxSeccompAction::ScmpActErrno, Some(errno.into())),
        Action::Notify => (LinuxSeccompAction::ScmpActNotify, None),
        Action::Trace(data) => (LinuxSeccompAction::ScmpActTrace, Some(data.into())),
        Action::Log => (LinuxSeccompAction::ScmpActLog, None),
        Action::Allow => (LinuxSeccompAction::ScmpActAllow, None),
    }
}

fn written(argument: &Argument) -> Option<LinuxSeccompArg> {
    let op = match argument.compare {
        Compare::NotEqual => LinuxSeccompOperator::ScmpCmpNe,
        Compare::Less => LinuxSeccompOperator::ScmpCmpLt,
        Compare::LessOrEqual => LinuxSeccompOperator::ScmpCmpLe,
        Compare::Equal => LinuxSeccompOperator::ScmpCmpEq,
        Compare::GreaterOrEqual => LinuxSeccompOperator::ScmpCmpGe,
        Compare::Greater => LinuxSeccompOperator::ScmpCmpGt,
        Compare::MaskedEqual => LinuxSeccompOperator::ScmpCmpMaskedEq,
    };
    let written = LinuxSeccompArgBuilder::default()
        .index(argument.index)
        .value(argument.value)
        .value_two(argument.value_two)
        .op(op);
    written.build().ok()
}
