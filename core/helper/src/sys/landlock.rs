//! Landlock (landlock(7)).

use super::{BorrowedFd, Fd, Result, address, call};

/// A set of rules that handles these rights to files and to the network, and
/// these scopes.
pub(crate) fn landlock_ruleset(attributes: [u64; 3]) -> Result<Fd> {
    // Older kernels know a shorter structure only.
    let size = match attributes {
        [_, 0, 0] => 8,
        [_, _, 0] => 16,
        _ => 24,
    };
    Fd::made(call!(LANDLOCK_CREATE_RULESET, address(&attributes), size, 0)?)
}

/// Allows rights to a file, or to a directory and all below it.
pub(crate) fn landlock_rule(ruleset: BorrowedFd, rights: u64, below: BorrowedFd) -> Result<()> {
    const PATH_BENEATH: usize = 1;
    // struct landlock_path_beneath_attr, packed: rights u64, descriptor s32.
    let [a, b, c, d, e, f, g, h] = rights.to_le_bytes();
    let [i, j, k, l] = below.0.to_le_bytes();
    let attributes = [a, b, c, d, e, f, g, h, i, j, k, l];
    call!(LANDLOCK_ADD_RULE, ruleset.raw(), PATH_BENEATH, address(&attributes), 0).map(drop)
}

/// Binds this process, which must have no_new_privs, to the rules.
pub(crate) fn landlock_restrict(ruleset: BorrowedFd) -> Result<()> {
    call!(LANDLOCK_RESTRICT_SELF, ruleset.raw(), 0).map(drop)
}
