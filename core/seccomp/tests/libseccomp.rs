//! The same verdict as libseccomp for every call: on the engines' profile and
//! on generated ones.
//!
//! libseccomp is asked through its Python module (Debian: python3-seccomp).

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use libctr_seccomp::{
    Abi, Action, Argument, Compare, CompileError, Instruction, Machine, Profile, Rule, compile,
    engines, names,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::{Call, run};

/// Generated profiles per test and machine.
const PROFILES: usize = 150;
const MACHINES: [Machine; 2] = [Machine::X86_64, Machine::Aarch64];

/// A Python that has the module.
fn python() -> Option<&'static str> {
    let has = |python: &&str| {
        let found = Command::new(python).args(["-c", "import seccomp"]).output();
        found.is_ok_and(|output| output.status.success())
    };
    let found = ["/usr/bin/python3", "python3"].into_iter().find(has);
    if found.is_none() {
        assert!(std::env::var_os("LIBCTR_TEST_REQUIRE").is_none(), "python3-seccomp is missing");
        let _ = writeln!(std::io::stderr(), "skipped: python3-seccomp is missing");
    }
    found
}

fn word(action: Action) -> Value {
    match action {
        Action::Errno(number) => json!(["Errno", number]),
        Action::Trace(number) => json!(["Trace", number]),
        other => json!([format!("{other:?}"), 0]),
    }
}

fn line(profile: &Profile, machine: Machine) -> Value {
    let argument =
        |a: &Argument| json!([a.index, format!("{:?}", a.compare), a.value, a.value_two]);
    let rule = |rule: &Rule| {
        let arguments: Vec<_> = rule.arguments.iter().map(argument).collect();
        json!({"name": rule.name, "action": word(rule.action), "arguments": arguments})
    };
    json!({
        "native": format!("{:?}", machine.native()),
        "default": word(profile.default),
        "foreign": word(profile.foreign),
        "abis": profile.abis.iter().map(|abi| format!("{abi:?}")).collect::<Vec<_>>(),
        "rules": profile.rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

/// libseccomp's programs; `None` where it refuses the profile.
fn theirs(python: &str, profiles: &[Profile], machine: Machine) -> Vec<Option<Vec<Instruction>>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libseccomp.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let mut input = child.stdin.take().expect("stdin");
    let lines: Vec<String> = profiles.iter().map(|p| line(p, machine).to_string()).collect();
    // Both at a time: neither pipe takes everything.
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            lines.iter().try_for_each(|line| writeln!(input, "{line}")).expect("write");
        });
        child.wait_with_output().expect("wait")
    });
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    let programs: Vec<_> = text.lines().map(program).collect();
    assert_eq!(programs.len(), profiles.len());
    programs
}

fn program(hexadecimal: &str) -> Option<Vec<Instruction>> {
    if hexadecimal.starts_with("error: ") {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("digits");
    let bytes: Vec<u8> = (0..hexadecimal.len()).step_by(2).map(byte).collect();
    let instruction = |bytes: &[u8]| Instruction {
        code: u16::from_le_bytes([bytes[0], bytes[1]]),
        jump_true: bytes[2],
        jump_false: bytes[3],
        operand: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    };
    Some(bytes.chunks(8).map(instruction).collect())
}

/// Calls at which two programs for a profile could differ.
fn samples(profile: &Profile, machine: Machine) -> Vec<Call> {
    let mut calls = Vec::new();
    for abi in machine.abis().iter().copied() {
        for number in (0..600).chain([u32::MAX, Abi::X32_BIT, Abi::X32_BIT + 600]) {
            calls.push(Call::new(abi, number));
            calls.push(Call::new(abi, number | Abi::X32_BIT));
        }
        for rule in &profile.rules {
            let related = profile.rules.iter().filter(|other| other.name == rule.name);
            let values = |index: usize| -> Vec<u64> {
                let mut values: Vec<u64> = related
                    .clone()
                    .flat_map(|rule| &rule.arguments)
                    .filter(|argument| argument.index == index)
                    .flat_map(|argument| {
                        let masked = argument.compare == Compare::MaskedEqual;
                        let value = if masked { argument.value_two } else { argument.value };
                        let near = [value, value.wrapping_add(1), value.wrapping_sub(1)];
                        near.into_iter().flat_map(|value| {
                            [value, value ^ (1 << 32), value & 0xffff_ffff, value | (1 << 63)]
                        })
                    })
                    .collect();
                values.extend([0, u64::MAX]);
                values.sort_unstable();
                values.dedup();
                values
            };
            let numbers = [libctr_seccomp::number(&rule.name, abi)]
                .into_iter()
                .flatten()
                .chain((abi == Abi::I386).then_some([102, 117]).into_iter().flatten());
            let values: Vec<Vec<u64>> = (0..6).map(values).collect();
            for number in numbers {
                // Each value of each argument, the others taken in turn.
                let longest = values.iter().map(Vec::len).max().unwrap_or(0);
                for turn in 0..longest * 3 {
                    let mut arguments = [0; 6];
                    for (index, argument) in arguments.iter_mut().enumerate() {
                        let steps = turn / (index + 1) + turn * index;
                        *argument = values[index][steps % values[index].len()];
                    }
                    calls.push(Call::new(abi, number).with(arguments));
                    if abi == Abi::I386 {
                        for which in 0..25 {
                            let [_, rest @ ..] = arguments;
                            let [b, c, d, e, f] = rest;
                            let arguments = [which, b, c, d, e, f];
                            calls.push(Call::new(abi, number).with(arguments));
                        }
                    }
                }
            }
        }
    }
    // Registers of 32 bits: nothing is in the upper half.
    for call in &mut calls {
        if call.arch == Abi::I386.audit() || call.arch == Abi::Arm.audit() {
            call.arguments = call.arguments.map(|argument| argument & 0xffff_ffff);
        }
    }
    calls
}

/// How a comparison went, in profiles.
#[derive(Debug, Default, PartialEq)]
struct Comparison {
    same: usize,
    /// Refused by both: the rules contradict each other.
    refused: usize,
    /// Refused by libseccomp, which compares halves of arguments: rules whose
    /// upper halves are the same can be in each other's way.
    only_they_refuse: usize,
    /// libseccomp's program does not do what its manual says.
    theirs_wrong: usize,
}

fn compare(python: &str, profiles: &[Profile], machine: Machine) -> Comparison {
    let mut comparison = Comparison::default();
    for (profile, theirs) in profiles.iter().zip(theirs(python, profiles, machine)) {
        let line = || line(profile, machine);
        let ours = compile(profile, machine);
        let Some(theirs) = theirs else {
            match ours {
                Ok(_) => comparison.only_they_refuse += 1,
                Err(CompileError::Contradiction(_)) => comparison.refused += 1,
                Err(error) => panic!("{error}: {}", line()),
            }
            continue;
        };
        let ours = ours.unwrap_or_else(|error| panic!("{error}: {}", line()));
        let mut same = true;
        for call in samples(profile, machine) {
            let (ours, theirs) = (run(&ours, call), run(&theirs, call));
            if ours != theirs {
                let said = said(profile, machine, call);
                let text = format!("{call:x?}: ours {ours:x}, theirs {theirs:x}: {}", line());
                assert!(said.contains(&ours) && !said.contains(&theirs), "{said:x?}: {text}");
                same = false;
            }
        }
        *(if same { &mut comparison.same } else { &mut comparison.theirs_wrong }) += 1;
    }
    comparison
}

/// What the rules that hold for a call say, by the manual alone: any of them
/// may be asked first. The default if none holds.
fn said(profile: &Profile, machine: Machine, call: Call) -> Vec<u32> {
    let speaks = |rule: &&Rule| {
        machine.abis().iter().filter(|abi| abi.audit() == call.arch).any(|abi| {
            let narrow = *abi != machine.native();
            if let Some((mux, which)) = abi.multiplexed(&rule.name)
                && libctr_seccomp::number(mux, *abi) == Some(call.number)
            {
                return call.arguments[0] == which && holds(rule, call, narrow, true);
            }
            libctr_seccomp::number(&rule.name, *abi) == Some(call.number)
                && holds(rule, call, narrow, false)
        })
    };
    let rules = profile.rules.iter().filter(|rule| rule.action != profile.default);
    let said: Vec<u32> = rules.filter(speaks).map(|rule| rule.action.value()).collect();
    if said.is_empty() { vec![profile.default.value()] } else { said }
}

fn holds(rule: &Rule, call: Call, narrow: bool, multiplexed: bool) -> bool {
    let cut = |value: u64| if narrow { value & 0xffff_ffff } else { value };
    let test = |argument: &Argument| {
        let found = cut(call.arguments[argument.index]);
        let value = cut(argument.value);
        if multiplexed && argument.index == 0 {
            return true;
        }
        match argument.compare {
            Compare::NotEqual => found != value,
            Compare::Less => found < value,
            Compare::LessOrEqual => found <= value,
            Compare::Equal => found == value,
            Compare::GreaterOrEqual => found >= value,
            Compare::Greater => found > value,
            Compare::MaskedEqual => found & value == argument.value_two & value,
        }
    };
    let of = |index| rule.arguments.iter().filter(move |argument| argument.index == index).count();
    match (0..6).any(|index| of(index) > 1) {
        true => rule.arguments.iter().any(test),
        false => rule.arguments.iter().all(test),
    }
}

#[test]
fn engines_profile_means_the_same() {
    let Some(python) = python() else { return };
    // What libseccomp cannot say: an outcome of its own for unknown numbers.
    let profiles = [0, 1 << 18, 1 << 21, u64::MAX].map(|bounding| {
        let mut profile = Profile { unknown: None, ..engines::profile(bounding) };
        profile.rules.retain(|rule| is_known_there(&rule.name));
        profile
    });
    let with_abis = profiles
        .clone()
        .map(|profile| Profile { abis: vec![Abi::X32, Abi::I386, Abi::Arm], ..profile });
    let all: Vec<Profile> = profiles.into_iter().chain(with_abis).collect();
    for machine in MACHINES {
        let same = Comparison { same: 8, ..Comparison::default() };
        assert_eq!(compare(python, &all, machine), same);
    }
}

/// Whether libseccomp 2.5.0, the oldest one meant, has heard of a call.
fn is_known_there(name: &str) -> bool {
    let abis = [Abi::X86_64, Abi::Aarch64];
    // The one that took a number of old.
    name != "uretprobe"
        && abis
            .iter()
            .filter_map(|abi| libctr_seccomp::number(name, *abi))
            .all(|number| number < 440)
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::KillProcess),
        Just(Action::KillThread),
        Just(Action::Trap),
        Just(Action::Log),
        Just(Action::Notify),
        (0_u16..200).prop_map(Action::Errno),
        (0_u16..200).prop_map(Action::Trace),
    ]
}

fn argument(wide: bool) -> impl Strategy<Value = Argument> {
    let operators = prop::sample::select(vec![
        Compare::NotEqual,
        Compare::Less,
        Compare::LessOrEqual,
        Compare::Equal,
        Compare::GreaterOrEqual,
        Compare::Greater,
        Compare::MaskedEqual,
    ]);
    let value = prop_oneof![
        4 => 0_u64..6,
        1 => Just(0xffff_ffff),
        2 => if wide { any::<u64>().boxed() } else { (0..0xffff_ffff_u64).boxed() },
        1 => if wide { (0_u64..4).prop_map(|high| (high << 32) | 3).boxed() } else { Just(7).boxed() },
    ];
    (0_usize..6, operators, value.clone(), value).prop_map(|(index, compare, value, value_two)| {
        Argument { index, compare, value, value_two }
    })
}

/// Profiles with `kinds` actions beside the default.
fn profile(wide: bool, several: bool) -> impl Strategy<Value = Profile> {
    let names: Vec<&str> = names().filter(|name| is_known_there(name)).collect();
    let common = ["read", "socket", "semop", "clone", "openat", "accept", "shmctl", "ioctl"];
    let name = prop_oneof![
        prop::sample::select(common.to_vec()),
        prop::sample::select(names),
        Just("no_such_call"),
    ];
    let few = prop::collection::vec(argument(wide), 0..4);
    let rules = prop::collection::vec((name, action(), few), 0..12);
    let abis = prop::sample::subsequence(vec![Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm], 0..=4);
    (action(), action(), action(), abis, rules).prop_map(
        move |(default, foreign, one, abis, rules)| Profile {
            default: if default == Action::Notify { Action::Allow } else { default },
            foreign: if foreign == Action::Notify { Action::Trap } else { foreign },
            unknown: None,
            abis,
            rules: rules
                .into_iter()
                .map(|(name, action, arguments)| Rule {
                    name: name.to_owned(),
                    action: if several { action } else { one },
                    arguments,
                })
                .collect(),
        },
    )
}

fn generated(wide: bool, several: bool) -> Vec<Profile> {
    let mut runner = TestRunner::deterministic();
    let strategy = profile(wide, several);
    let mut next = || strategy.new_tree(&mut runner).expect("a profile").current();
    (0..PROFILES).map(|_| next()).collect()
}

#[test]
fn generated_profiles_of_one_action_mean_the_same() {
    let Some(python) = python() else { return };
    for machine in MACHINES {
        let found = compare(python, &generated(true, false), machine);
        let refused = found.refused + found.only_they_refuse;
        assert!(found.same > PROFILES * 8 / 10 && refused == 0, "{machine:?}: {found:?}");
    }
}

#[test]
fn generated_profiles_of_several_actions_mean_the_same() {
    let Some(python) = python() else { return };
    for machine in MACHINES {
        let found = compare(python, &generated(true, true), machine);
        let enough = found.same > PROFILES * 8 / 10;
        assert!(enough && found.only_they_refuse < PROFILES / 20, "{machine:?}: {found:?}");
    }
}
