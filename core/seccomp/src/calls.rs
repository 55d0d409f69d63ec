//! The numbers of the system calls, per ABI, from the kernel's tables
//! (`arch/x86/entry/syscalls/syscall_{32,64}.tbl`, `arch/arm/tools/syscall.tbl`,
//! `scripts/syscall.tbl`) as of Linux 7.0, with the private calls of arm.
//!
//! The rows are in `calls.table`, sorted by name, so that a name is found by
//! halving.

use crate::machine::Abi;

/// No such call.
const NO: i32 = -1;

/// One call: its name and its numbers, in the order of [`Abi`]; those of x32
/// without the bit that marks them.
type Row = (&'static str, [i32; 5]);

/// The number by which `abi` knows a call; `None` where it has none.
#[must_use]
pub fn number(name: &str, abi: Abi) -> Option<u32> {
    let row = CALLS.binary_search_by(|row| row.0.cmp(name)).ok()?;
    abi.number(CALLS.get(row)?)
}

/// All numbers of one ABI, in no order.
pub(crate) fn all(abi: Abi) -> impl Iterator<Item = u32> {
    CALLS.iter().filter_map(move |row| abi.number(row))
}

/// Whether any ABI has a call of this name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    CALLS.binary_search_by(|row| row.0.cmp(name)).is_ok()
}

/// The names of all calls, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|row| row.0)
}

impl Abi {
    fn number(self, row: &Row) -> Option<u32> {
        let number = u32::try_from(row.1[self as usize]).ok()?;
        Some(if self == Abi::X32 { number | Abi::X32_BIT } else { number })
    }
}

/// x86_64, x32, i386, aarch64, arm.
static CALLS: &[Row] = &include!("calls.table");

#[cfg(test)]
mod tests {
    use super::CALLS;

    #[test]
    fn names_are_sorted_and_there_once() {
        assert!(CALLS.is_sorted_by(|one, other| one.0 < other.0));
    }

    /// The numbers of this machine as crate `libc` knows them.
    #[test]
    fn numbers_are_those_of_the_kernel() {
        let own = |name| super::number(name, crate::Machine::NATIVE.native());
        for (name, number) in [
            ("read", libc::SYS_read),
            ("socket", libc::SYS_socket),
            ("clone", libc::SYS_clone),
            ("unshare", libc::SYS_unshare),
            ("keyctl", libc::SYS_keyctl),
            ("bpf", libc::SYS_bpf),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("clone3", libc::SYS_clone3),
            ("openat2", libc::SYS_openat2),
            ("mseal", libc::SYS_mseal),
        ] {
            assert_eq!(own(name).map(i64::from), Some(number), "{name}");
        }
    }
}
