//! The filter of system calls: a profile in, a BPF program out.
//!
//! Stage `user`, host side and build script: `core/build.rs` compiles the
//! default profile ([`engines`]) with it, `core/src/launch/seccomp.rs` any
//! other. Nothing here makes a system call, and there are no dependencies.
//!
//! ```text
//! Profile ──calls──▶ per ABI: number → action or rules ──▶ ranges ──▶ tree of jumps
//! ```
//!
//! A filter compares the number of a call with a few bounds instead of with
//! each number it knows: the numbers are cut into ranges of one outcome, and a
//! binary tree finds the range.
//!
//! What a profile means is what libseccomp (2.5 and later) makes of it as the
//! engines' runtimes use it; `tests/libseccomp.rs` compares the two. Sources:
//! seccomp(2), seccomp_rule_add(3), config-linux.md of the OCI runtime
//! specification, the kernel's `Documentation/userspace-api/seccomp_filter.rst`.

#![warn(missing_docs)]

mod assemble;
mod calls;
mod compile;
pub mod engines;
mod machine;
mod order;
mod profile;

pub use assemble::{Instruction, MAX_INSTRUCTIONS};
pub use calls::{is_known, names, number};
pub use compile::{CompileError, compile};
pub use machine::{Abi, Machine};
pub use profile::{Action, Argument, Compare, Profile, Rule};
