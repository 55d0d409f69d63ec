//! Writes a BPF program from its end to its beginning.
//!
//! Jumps of BPF only lead forward, by at most 255 instructions if they are
//! conditional. Written backwards, every target is there before the jump to
//! it; one that is too far gets a step in between.

use std::collections::HashMap;

use crate::compile::CompileError;

/// The kernel's limit (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction: struct sock_filter of linux/filter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip where the comparison holds.
    pub jump_true: u8,
    /// Instructions to skip where it does not.
    pub jump_false: u8,
    /// The operand.
    pub operand: u32,
}

impl Instruction {
    /// The bytes as the kernel reads them; all our machines are little endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        let [a, b] = self.code.to_le_bytes();
        let [e, f, g, h] = self.operand.to_le_bytes();
        [a, b, self.jump_true, self.jump_false, e, f, g, h]
    }
}

/// How to compare the accumulator.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
}

/// A place in the program, counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// A program being written; its last instruction comes first.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    backwards: Vec<Instruction>,
    /// The nearest return of each value.
    returns: HashMap<u32, Label>,
}

impl Assembler {
    fn push(&mut self, code: u16, operand: u32) -> Result<Label, CompileError> {
        self.put(Instruction { code, jump_true: 0, jump_false: 0, operand })
    }

    fn put(&mut self, instruction: Instruction) -> Result<Label, CompileError> {
        if self.backwards.len() >= MAX_INSTRUCTIONS {
            return Err(CompileError::TooLong);
        }
        self.backwards.push(instruction);
        Ok(Label(self.backwards.len() - 1))
    }

    /// Instructions between the next one written and `target`.
    fn distance(&self, target: Label) -> usize {
        self.backwards.len() - 1 - target.0
    }

    /// The target itself or a step to it that is near enough for a conditional
    /// jump, even if another step has to be written first.
    fn near(&mut self, target: Label) -> Result<Label, CompileError> {
        const FAR: usize = 254;
        match self.distance(target) {
            0..FAR => Ok(target),
            distance => match self.backwards[target.0] {
                Instruction { code: RETURN, operand, .. } => self.fresh_return(operand),
                _ => self.push(JUMP, u32::try_from(distance).map_err(|_| CompileError::TooLong)?),
            },
        }
    }

    fn fresh_return(&mut self, value: u32) -> Result<Label, CompileError> {
        let label = self.push(RETURN, value)?;
        self.returns.insert(value, label);
        Ok(label)
    }

    /// Returns a value; one return serves all that are near.
    pub(crate) fn returns(&mut self, value: u32) -> Result<Label, CompileError> {
        match self.returns.get(&value).copied() {
            Some(label) => self.near(label),
            None => self.fresh_return(value),
        }
    }

    /// Loads a word of struct seccomp_data; goes on with what was written
    /// last, which must be `next`.
    pub(crate) fn load(&mut self, offset: u32, next: Label) -> Result<Label, CompileError> {
        self.go_to(next)?;
        self.push(LOAD, offset)
    }

    /// Keeps the bits of `mask`; goes on with `next`.
    pub(crate) fn and(&mut self, mask: u32, next: Label) -> Result<Label, CompileError> {
        self.go_to(next)?;
        self.push(AND, mask)
    }

    /// Jumps to `next` unless it comes next anyway.
    fn go_to(&mut self, next: Label) -> Result<(), CompileError> {
        match self.distance(next) {
            0 => Ok(()),
            distance => {
                let distance = u32::try_from(distance).map_err(|_| CompileError::TooLong)?;
                self.push(JUMP, distance).map(drop)
            }
        }
    }

    /// Compares the accumulator with `value`.
    pub(crate) fn branch(
        &mut self,
        test: Test,
        value: u32,
        holds: Label,
        fails: Label,
    ) -> Result<Label, CompileError> {
        if holds == fails {
            return Ok(holds);
        }
        // The farther one first: its step makes the way of the other longer.
        let (mut holds, mut fails) = (holds, fails);
        if holds.0 < fails.0 {
            holds = self.near(holds)?;
            fails = self.near(fails)?;
        } else {
            fails = self.near(fails)?;
            holds = self.near(holds)?;
        }
        let code = match test {
            Test::Equal => 0x15,
            Test::Greater => 0x25,
            Test::GreaterOrEqual => 0x35,
        };
        let near = |distance: usize| u8::try_from(distance).map_err(|_| CompileError::TooLong);
        let (jump_true, jump_false) = (near(self.distance(holds))?, near(self.distance(fails))?);
        self.put(Instruction { code, jump_true, jump_false, operand: value })
    }

    /// The program, which begins at `entry`.
    pub(crate) fn finish(mut self, entry: Label) -> Result<Vec<Instruction>, CompileError> {
        self.go_to(entry)?;
        self.backwards.reverse();
        Ok(self.backwards)
    }
}
