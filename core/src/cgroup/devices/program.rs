//! The rules as a program for the kernel's virtual machine (eBPF).
//!
//! Host side; values only, the kernel verifies what is made here. The program
//! is called with a `struct bpf_cgroup_dev_ctx` (linux/bpf.h: `access_type` as
//! access << 16 | kind, `major`, `minor`) at every open and mknod of a device
//! and answers 1, allowed, or 0, EPERM. An access is allowed when one rule
//! covers all of it, as with the v1 group.
//! Sources: Documentation/bpf/standardization/instruction-set.rst,
//! `cgroup_dev_func_proto` in kernel/bpf/cgroup.c.

use super::{DeviceKind, DeviceRule};

/// Opcodes: class, operation, and whether the operand is a register.
mod op {
    pub(super) const LOAD: u8 = 0x61;
    pub(super) const MOVE: u8 = 0xb7;
    pub(super) const MOVE_REGISTER: u8 = 0xbf;
    pub(super) const AND: u8 = 0x57;
    pub(super) const SHIFT_RIGHT: u8 = 0x77;
    pub(super) const JUMP_UNLESS_EQUAL: u8 = 0x55;
    pub(super) const EXIT: u8 = 0x95;
}

/// The answer.
const R0: u8 = 0;
/// The argument, at first; then what an access asks for beyond a rule.
const R1: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `struct bpf_insn`: opcode, two registers, offset of a jump or load, number.
const fn instruction(code: u8, to: u8, from: u8, offset: u16, number: u32) -> u64 {
    let [code, to, from] = [code as u64, to as u64, from as u64];
    code | to << 8 | from << 12 | (offset as u64) << 16 | (number as u64) << 32
}

const fn load(to: u8, offset: u16) -> u64 {
    instruction(op::LOAD, to, R1, offset, 0)
}

const fn answer(allowed: bool) -> [u64; 2] {
    [instruction(op::MOVE, R0, 0, 0, allowed as u32), instruction(op::EXIT, 0, 0, 0, 0)]
}

/// The whole program.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<u64> {
    let mut program = vec![
        load(KIND, 0),
        instruction(op::MOVE_REGISTER, ACCESS, KIND, 0, 0),
        instruction(op::AND, KIND, 0, 0, 0xffff),
        instruction(op::SHIFT_RIGHT, ACCESS, 0, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules {
        program.extend(allow(rule));
    }
    program.extend(answer(false));
    program
}

/// Ends with "allowed" if the rule covers the access, else goes on behind.
fn allow(rule: &DeviceRule) -> Vec<u64> {
    let kind = match rule.kind {
        DeviceKind::Block => 1,
        DeviceKind::Character => 2,
    };
    let mut tests = vec![(KIND, kind)];
    tests.extend(rule.major.map(|major| (MAJOR, major)));
    tests.extend(rule.minor.map(|minor| (MINOR, minor)));
    let mut block = Vec::new();
    let beyond = !rule.access.bits() & 7;
    if beyond != 0 {
        block.push(instruction(op::MOVE_REGISTER, R1, ACCESS, 0, 0));
        block.push(instruction(op::AND, R1, 0, 0, beyond));
        tests.push((R1, 0));
    }
    // Each test jumps over those that follow it and over the answer.
    for (behind, (register, number)) in (2_u16..).zip(tests.iter().rev()) {
        let test = instruction(op::JUMP_UNLESS_EQUAL, *register, 0, behind, *number);
        block.insert(if beyond == 0 { 0 } else { 2 }, test);
    }
    block.extend(answer(true));
    block
}

#[cfg(test)]
mod tests {
    use super::super::{DEFAULT, DeviceAccess, DeviceFilter, DeviceKind, DeviceRule};
    use super::{op, program};

    const MKNOD: u32 = 1;
    const READ: u32 = 2;
    const WRITE: u32 = 4;

    /// Runs a program as the kernel does: registers, forward jumps, bounds.
    fn run(program: &[u64], context: [u32; 3]) -> u64 {
        let mut registers = [0_u64; 11];
        let mut at = 0;
        loop {
            let [code, both, low, high, number @ ..] = program[at].to_le_bytes();
            let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
            let offset = usize::from(u16::from_le_bytes([low, high]));
            let number = u64::from(u32::from_le_bytes(number));
            at += 1;
            match code {
                op::LOAD => {
                    assert_eq!((from, registers[1]), (1, 0), "the argument is overwritten");
                    registers[to] = u64::from(context[offset / 4]);
                }
                op::MOVE => registers[to] = number,
                op::MOVE_REGISTER => registers[to] = registers[from],
                op::AND => registers[to] &= number,
                op::SHIFT_RIGHT => registers[to] >>= number,
                op::JUMP_UNLESS_EQUAL => {
                    at += if registers[to] == number { 0 } else { offset };
                }
                op::EXIT => return registers[0],
                other => panic!("opcode {other:#x}"),
            }
        }
    }

    fn allowed(rules: &[DeviceRule], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        run(&program(rules), [access << 16 | kind, major, minor]) == 1
    }

    #[test]
    fn default_set_is_allowed_and_nothing_else() {
        for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, 77)] {
            assert!(allowed(&DEFAULT, 2, READ | WRITE, major, minor), "{major}:{minor}");
            assert!(!allowed(&DEFAULT, 1, READ, major, minor), "block {major}:{minor}");
        }
        // mem, port, kmsg, tty0, console, fuse, tun, a disk
        for (kind, major, minor) in [
            (2, 1, 1),
            (2, 1, 4),
            (2, 1, 11),
            (2, 4, 0),
            (2, 5, 1),
            (2, 10, 229),
            (2, 10, 200),
            (1, 8, 0),
        ] {
            for access in [READ, WRITE, READ | WRITE, READ | MKNOD] {
                assert!(!allowed(&DEFAULT, kind, access, major, minor), "{kind} {major}:{minor}");
            }
            assert!(allowed(&DEFAULT, kind, MKNOD, major, minor), "mknod {kind} {major}:{minor}");
        }
    }

    #[test]
    fn access_beyond_a_rule_is_refused() {
        for bits in 1..8 {
            let access = DeviceAccess::new(bits & READ != 0, bits & WRITE != 0, bits & MKNOD != 0);
            assert_eq!(access.bits(), bits);
            let rule =
                DeviceRule { kind: DeviceKind::Block, major: Some(8), minor: Some(16), access };
            for asked in 1..8 {
                let covered = asked & !bits == 0;
                assert_eq!(allowed(&[rule], 1, asked, 8, 16), covered, "{access} {asked}");
                assert!(!allowed(&[rule], 1, asked, 8, 17));
                assert!(!allowed(&[rule], 1, asked, 9, 16));
                assert!(!allowed(&[rule], 2, asked, 8, 16));
            }
        }
    }

    #[test]
    fn kernel_takes_the_program() {
        let rule = |minor| DeviceRule {
            kind: DeviceKind::Character,
            major: Some(10),
            minor: Some(minor),
            access: DeviceAccess::new(true, false, false),
        };
        let filter = DeviceFilter { rules: (0..300).map(rule).collect(), asked: None };
        match crate::sys::load_device_program(&program(&filter.all())) {
            Ok(_) => {}
            Err(errno) => super::super::tests::skip_without_programs(errno),
        }
    }
}
