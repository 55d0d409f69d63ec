//! One rule: which devices, and what may be done with them.
//!
//! Host side, values only.

use std::fmt;

/// Character or block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceKind {
    Character,
    Block,
}

/// What may be done with a device: the kernel's bits (linux/bpf.h,
/// `BPF_DEVCG_ACC_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceAccess(u32);

impl DeviceAccess {
    pub(crate) const fn new(read: bool, write: bool, mknod: bool) -> DeviceAccess {
        DeviceAccess(mknod as u32 | (read as u32) << 1 | (write as u32) << 2)
    }

    /// Both together.
    pub(super) const fn and(self, other: DeviceAccess) -> DeviceAccess {
        DeviceAccess(self.0 | other.0)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(2, "r"), (4, "w"), (1, "m")];
        letters
            .iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

/// Something that is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceRule {
    pub(crate) kind: DeviceKind,
    /// `None`: every one.
    pub(crate) major: Option<u32>,
    /// `None`: every one.
    pub(crate) minor: Option<u32>,
    pub(crate) access: DeviceAccess,
}

impl DeviceRule {
    /// Whether both are about the same devices.
    pub(super) fn is_about(&self, other: &DeviceRule) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }
}

/// As the v1 control files have it: `c 1:3 rw`.
impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::Character => 'c',
            DeviceKind::Block => 'b',
        };
        let number = |number: Option<u32>| number.map_or("*".into(), |number| number.to_string());
        write!(f, "{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}

/// What every container may do; where it comes from is said in `devices.rs`.
pub(super) const DEFAULT: [DeviceRule; 10] = [
    any(DeviceKind::Character),
    any(DeviceKind::Block),
    usable(1, Some(3)), // null
    usable(1, Some(5)), // zero
    usable(1, Some(7)), // full
    usable(1, Some(8)), // random
    usable(1, Some(9)), // urandom
    usable(5, Some(0)), // tty
    usable(5, Some(2)), // ptmx
    usable(136, None),  // pts
];

const fn any(kind: DeviceKind) -> DeviceRule {
    let access = DeviceAccess::new(false, false, true);
    DeviceRule { kind, major: None, minor: None, access }
}

const fn usable(major: u32, minor: Option<u32>) -> DeviceRule {
    let access = DeviceAccess::new(true, true, true);
    DeviceRule { kind: DeviceKind::Character, major: Some(major), minor, access }
}
