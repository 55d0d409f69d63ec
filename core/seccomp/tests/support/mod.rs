//! A second opinion on programs: runs them as the kernel does.

#![allow(dead_code, reason = "each test file uses its part")]

use libctr_seccomp::{Abi, Instruction};

/// struct seccomp_data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) arch: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    pub(crate) fn new(abi: Abi, number: u32) -> Call {
        Call { number, arch: abi.audit(), arguments: [0; 6] }
    }

    pub(crate) fn with(self, arguments: [u64; 6]) -> Call {
        Call { arguments, ..self }
    }

    fn word(self, offset: u32) -> u32 {
        let index = usize::try_from(offset.checked_sub(16).map_or(0, |offset| offset / 8)).unwrap();
        let [low, high] = {
            let bytes = self.arguments.get(index).copied().unwrap_or(0).to_le_bytes();
            let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            [half(0), half(4)]
        };
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 if offset.is_multiple_of(8) => low,
            16..64 if offset % 8 == 4 => high,
            _ => panic!("a load at {offset}"),
        }
    }
}

/// What a program returns for a call. Panics at what the kernel would not take.
pub(crate) fn run(program: &[Instruction], call: Call) -> u32 {
    assert!(!program.is_empty() && program.len() <= 4096, "{} instructions", program.len());
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let Instruction { code, jump_true, jump_false, operand } = program[at];
        at += 1;
        let branch = |holds: bool| usize::from(if holds { jump_true } else { jump_false });
        match code {
            0x20 => accumulator = call.word(operand),
            0x54 => accumulator &= operand,
            0x05 => at += usize::try_from(operand).unwrap(),
            0x15 => at += branch(accumulator == operand),
            0x25 => at += branch(accumulator > operand),
            0x35 => at += branch(accumulator >= operand),
            0x06 => return operand,
            _ => panic!("an instruction {code:#x}"),
        }
    }
}

pub(crate) fn number(name: &str, abi: Abi) -> u32 {
    libctr_seccomp::number(name, abi).unwrap_or_else(|| panic!("{name} of {abi:?}"))
}
