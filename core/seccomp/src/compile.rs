//! From a profile to a program.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::assemble::{Assembler, Instruction, Label, Test};
use crate::calls;
use crate::machine::{Abi, Machine};
use crate::order::{Chain, Verdict, chains, words};
use crate::profile::{Action, Argument, Compare, Profile, Rule};

/// More rules for one call than any program has room for.
const MAX_RULES: usize = 1024;

/// Offsets in struct seccomp_data (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Why a profile has no program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// It has more than [`crate::MAX_INSTRUCTIONS`].
    TooLong,
    /// The rules for this call contradict each other.
    Contradiction(String),
    /// A rule for this call speaks of an argument beyond the sixth.
    NoSuchArgument(String, usize),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::TooLong => {
                write!(f, "the filter needs more than {} instructions", crate::MAX_INSTRUCTIONS)
            }
            CompileError::Contradiction(name) => {
                write!(f, "two rules for {name} say different things of the same arguments")
            }
            CompileError::NoSuchArgument(name, index) => {
                write!(f, "a rule for {name} has an argument {index}; calls have 0 to 5")
            }
        }
    }
}

impl std::error::Error for CompileError {}

/// The program of a profile for a machine.
///
/// # Errors
/// [`CompileError`]; time and memory stay bounded by the number of rules.
pub fn compile(profile: &Profile, machine: Machine) -> Result<Vec<Instruction>, CompileError> {
    let listed = |abi: &&Abi| **abi == machine.native() || profile.abis.contains(abi);
    let abis: Vec<Abi> = machine.abis().iter().filter(listed).copied().collect();
    let mut assembler = Assembler::default();
    let mut entry = assembler.returns(profile.foreign.value())?;
    // x32 is told from x86_64 by its numbers alone, so the two share a section.
    for first in abis.iter().rev().filter(|abi| **abi != Abi::X32) {
        let shared: Vec<Abi> =
            abis.iter().filter(|abi| abi.audit() == first.audit()).copied().collect();
        let section = section(&mut assembler, profile, &shared)?;
        entry = assembler.branch(Test::Equal, first.audit(), section, entry)?;
    }
    let entry = assembler.load(ARCH, entry)?;
    assembler.finish(entry)
}

/// What becomes of a number, or of a range of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Action(Action),
    /// That of the rules for the number.
    Rules(u32),
}

/// The part of the program for the calls of some ABIs of one architecture.
fn section(
    assembler: &mut Assembler,
    profile: &Profile,
    abis: &[Abi],
) -> Result<Label, CompileError> {
    let mut verdicts: HashMap<u32, Verdict> = HashMap::new();
    for abi in abis {
        for rule in profile.rules.iter().filter(|rule| rule.action != profile.default) {
            add(&mut verdicts, rule, *abi)?;
        }
    }
    let ranges = ranges(profile, abis, &verdicts);
    let mut tree = Tree { assembler, verdicts: &verdicts, default: profile.default };
    let root = tree.search(&leaves(&ranges))?;
    assembler.load(NUMBER, root)
}

/// Adds a rule to what is known of the numbers that it speaks of.
fn add(verdicts: &mut HashMap<u32, Verdict>, rule: &Rule, abi: Abi) -> Result<(), CompileError> {
    if let Some(argument) = rule.arguments.iter().find(|argument| argument.index > 5) {
        return Err(CompileError::NoSuchArgument(rule.name.clone(), argument.index));
    }
    let mut put = |number: u32, mut tests: Vec<Argument>| {
        tests.sort_by_key(|argument| argument.index);
        let verdict = verdicts.entry(number).or_insert_with(|| Verdict::new(abi.is_wide()));
        if verdict.count() >= MAX_RULES {
            return Err(CompileError::TooLong);
        }
        verdict
            .add(Chain { tests, action: rule.action })
            .map_err(|_| CompileError::Contradiction(rule.name.clone()))
    };
    let repeated = (0..6)
        .any(|index| rule.arguments.iter().filter(|argument| argument.index == index).count() > 1);
    let alternatives: Vec<&[Argument]> = match repeated {
        true => rule.arguments.chunks(1).collect(),
        false => vec![&rule.arguments],
    };
    for tests in alternatives {
        if let Some((call, which)) = abi.multiplexed(&rule.name)
            && let Some(number) = calls::number(call, abi)
        {
            // The arguments of the call proper lie in memory, where no filter
            // looks; those beyond the first are compared all the same, as
            // libseccomp does.
            let first = Argument { index: 0, compare: Compare::Equal, value: which, value_two: 0 };
            let others = tests.iter().filter(|argument| argument.index != 0).copied();
            put(number, std::iter::once(first).chain(others).collect())?;
        }
        if let Some(number) = calls::number(&rule.name, abi) {
            put(number, tests.to_vec())?;
        }
    }
    Ok(())
}

/// All numbers from 0 to the largest, each range with the number it begins at.
fn ranges(
    profile: &Profile,
    abis: &[Abi],
    verdicts: &HashMap<u32, Verdict>,
) -> Vec<(u32, Outcome)> {
    let mut points: Vec<(u32, Outcome)> = verdicts
        .iter()
        .map(|(number, verdict)| match verdict {
            Verdict::Always(action) => (*number, Outcome::Action(*action)),
            Verdict::Rules { .. } => (*number, Outcome::Rules(*number)),
        })
        .collect();
    if profile.unknown.is_some() {
        let known = abis.iter().flat_map(|abi| calls::all(*abi));
        points.extend(
            known
                .filter(|number| !verdicts.contains_key(number))
                .map(|number| (number, Outcome::Action(profile.default))),
        );
    }
    points.sort_by_key(|(number, _)| *number);

    let between = Outcome::Action(profile.unknown.unwrap_or(profile.default));
    let mut starts = BTreeMap::from([(0, between)]);
    for (number, outcome) in points {
        starts.insert(number, outcome);
        starts.entry(number + 1).or_insert(between);
    }
    if abis.contains(&Abi::X86_64) && !abis.contains(&Abi::X32) {
        starts.insert(Abi::X32_BIT, Outcome::Action(profile.foreign));
    }
    // No call: what a tracer leaves that skips one (seccomp(2)).
    starts.insert(u32::MAX, Outcome::Action(profile.default));
    let mut ranges: Vec<_> = starts.into_iter().collect();
    ranges.dedup_by_key(|(_, outcome)| *outcome);
    ranges
}

/// Neighbouring ranges of one outcome, with single numbers in between that
/// have another one: those cost one comparison instead of two.
#[derive(Debug)]
struct Leaf {
    start: u32,
    outcome: Outcome,
    exceptions: Vec<(u32, Outcome)>,
}

fn leaves(ranges: &[(u32, Outcome)]) -> Vec<Leaf> {
    const MOST: usize = 2;
    let mut leaves = Vec::new();
    let mut rest = ranges;
    while let Some(((start, outcome), mut after)) = rest.split_first() {
        let mut exceptions = Vec::new();
        while let [(number, other), (next, same), ..] = after
            && (*next, same) == (number + 1, outcome)
            && exceptions.len() < MOST
        {
            exceptions.push((*number, *other));
            after = &after[2..];
        }
        leaves.push(Leaf { start: *start, outcome: *outcome, exceptions });
        rest = after;
    }
    leaves
}

/// Writes the search for a number and what then becomes of the call.
struct Tree<'a> {
    assembler: &'a mut Assembler,
    verdicts: &'a HashMap<u32, Verdict>,
    default: Action,
}

impl Tree<'_> {
    fn search(&mut self, leaves: &[Leaf]) -> Result<Label, CompileError> {
        let (lower, upper) = leaves.split_at(leaves.len() / 2);
        match upper {
            [leaf] if lower.is_empty() => self.leaf(leaf),
            [first, ..] => {
                let above = self.search(upper)?;
                let below = self.search(lower)?;
                self.assembler.branch(Test::GreaterOrEqual, first.start, above, below)
            }
            [] => self.assembler.returns(self.default.value()),
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> Result<Label, CompileError> {
        let mut label = self.outcome(leaf.outcome)?;
        for (number, other) in leaf.exceptions.iter().rev() {
            let other = self.outcome(*other)?;
            label = self.assembler.branch(Test::Equal, *number, other, label)?;
        }
        Ok(label)
    }

    fn outcome(&mut self, outcome: Outcome) -> Result<Label, CompileError> {
        let number = match outcome {
            Outcome::Action(action) => return self.assembler.returns(action.value()),
            Outcome::Rules(number) => number,
        };
        let mut next = self.assembler.returns(self.default.value())?;
        if let Some(Verdict::Rules { tree, wide, .. }) = self.verdicts.get(&number) {
            let wide = *wide;
            for chain in chains(tree).into_iter().rev() {
                let mut label = self.assembler.returns(chain.action.value())?;
                for test in chain.tests.iter().rev() {
                    label = compare(self.assembler, *test, wide, label, next)?;
                }
                next = label;
            }
        }
        Ok(next)
    }
}

/// Compares one argument.
fn compare(
    to: &mut Assembler,
    argument: Argument,
    wide: bool,
    holds: Label,
    fails: Label,
) -> Result<Label, CompileError> {
    let opposite = match argument.compare {
        Compare::NotEqual => Some(Compare::Equal),
        Compare::Less => Some(Compare::GreaterOrEqual),
        Compare::LessOrEqual => Some(Compare::Greater),
        _ => None,
    };
    if let Some(compare_) = opposite {
        return compare(to, Argument { compare: compare_, ..argument }, wide, fails, holds);
    }
    let index = u32::try_from(argument.index).unwrap_or(0);
    let low_at = ARGUMENTS + 8 * index;
    let high_at = low_at + 4;
    let [low, high] = words(argument.value);
    if argument.compare == Compare::MaskedEqual {
        let [low_value, high_value] = words(argument.value_two & argument.value);
        let label = masked(to, low_at, low, low_value, holds, fails)?;
        return if wide { masked(to, high_at, high, high_value, label, fails) } else { Ok(label) };
    }
    let test = match argument.compare {
        Compare::Greater => Test::Greater,
        Compare::GreaterOrEqual => Test::GreaterOrEqual,
        _ => Test::Equal,
    };
    let mut label = to.branch(test, low, holds, fails)?;
    label = to.load(low_at, label)?;
    if wide {
        label = to.branch(Test::Equal, high, label, fails)?;
        if !matches!(test, Test::Equal) {
            label = to.branch(Test::Greater, high, holds, label)?;
        }
        label = to.load(high_at, label)?;
    }
    Ok(label)
}

/// Compares the bits of `mask` in one word.
fn masked(
    to: &mut Assembler,
    at: u32,
    mask: u32,
    value: u32,
    holds: Label,
    fails: Label,
) -> Result<Label, CompileError> {
    if mask == 0 {
        return Ok(holds);
    }
    let mut label = to.branch(Test::Equal, value, holds, fails)?;
    if mask != u32::MAX {
        label = to.and(mask, label)?;
    }
    to.load(at, label)
}
