//! What a filter shall do, as the caller says it.

use crate::machine::Abi;

/// A filter of system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// For calls that no rule speaks of.
    pub default: Action,
    /// For calls by an ABI that is not listed.
    pub foreign: Action,
    /// For numbers that no version of Linux up to this library's gives a
    /// meaning; `None`: [`Profile::default`], as libseccomp has it.
    pub unknown: Option<Action>,
    /// ABIs that the rules hold for, beside the machine's own. Those that the
    /// machine does not have are without effect.
    pub abis: Vec<Abi>,
    /// The rules. A rule for a name that nobody knows is without effect.
    pub rules: Vec<Rule>,
}

/// One rule: the action for a call whose arguments are as said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name of the call.
    pub name: String,
    /// What becomes of it.
    pub action: Action,
    /// All must hold. If two speak of the same argument, each is a rule of its
    /// own, as the engines' runtimes have it.
    pub arguments: Vec<Argument>,
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Which one: 0 to 5.
    pub index: usize,
    /// How it is compared with `value`.
    pub compare: Compare,
    /// The value; for [`Compare::MaskedEqual`] the mask.
    pub value: u64,
    /// For [`Compare::MaskedEqual`] the value, else unused.
    pub value_two: u64,
}

/// A comparison of unsigned numbers of 64 bits, of 32 on ABIs of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `argument != value`
    NotEqual,
    /// `argument < value`
    Less,
    /// `argument <= value`
    LessOrEqual,
    /// `argument == value`
    Equal,
    /// `argument >= value`
    GreaterOrEqual,
    /// `argument > value`
    Greater,
    /// `argument & value == value_two & value`
    MaskedEqual,
}

/// What becomes of a call (seccomp(2), "Filter return values").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The whole process dies of SIGSYS.
    KillProcess,
    /// The calling thread dies of SIGSYS.
    KillThread,
    /// A SIGSYS that can be caught.
    Trap,
    /// The call fails with this errno.
    Errno(u16),
    /// Whoever holds the listener decides.
    Notify,
    /// A tracer decides, told this number; ENOSYS without one.
    Trace(u16),
    /// The call is made and logged.
    Log,
    /// The call is made.
    Allow,
}

impl Action {
    /// What a filter returns for it.
    #[must_use]
    pub const fn value(self) -> u32 {
        match self {
            Action::KillProcess => 0x8000_0000,
            Action::KillThread => 0,
            Action::Trap => 0x0003_0000,
            Action::Errno(errno) => 0x0005_0000 | errno as u32,
            Action::Notify => 0x7fc0_0000,
            Action::Trace(message) => 0x7ff0_0000 | message as u32,
            Action::Log => 0x7ffc_0000,
            Action::Allow => 0x7fff_0000,
        }
    }
}
