//! What profiles mean: actions, comparisons, ABIs, several rules for one call,
//! and what has no program.

mod support;

use libctr_seccomp::{
    Abi, Action, Argument, Compare, CompileError, Instruction, MAX_INSTRUCTIONS, Machine, Profile,
    Rule, compile,
};
use support::{Call, number, run};

/// Index, comparison, value, second value.
type Condition = (usize, Compare, u64, u64);
type Holds = fn(u64, u64) -> bool;

fn profile(default: Action, rules: &[(&str, Action, &[Condition])]) -> Profile {
    let rules = rules.iter().map(|(name, action, arguments)| Rule {
        name: (*name).to_owned(),
        action: *action,
        arguments: arguments
            .iter()
            .map(|(index, compare, value, value_two)| Argument {
                index: *index,
                compare: *compare,
                value: *value,
                value_two: *value_two,
            })
            .collect(),
    });
    let rules = rules.collect();
    Profile { default, foreign: Action::KillThread, unknown: None, abis: Vec::new(), rules }
}

fn x86(profile: &Profile) -> Vec<Instruction> {
    compile(profile, Machine::X86_64).expect("a program")
}

const READ: u32 = 0;

fn verdict(program: &[Instruction], arguments: [u64; 6]) -> u32 {
    run(program, Call::new(Abi::X86_64, READ).with(arguments))
}

#[test]
fn every_action_is_returned_as_the_kernel_knows_it() {
    for (action, value) in [
        (Action::KillProcess, 0x8000_0000),
        (Action::KillThread, 0),
        (Action::Trap, 0x0003_0000),
        (Action::Errno(5), 0x0005_0005),
        (Action::Notify, 0x7fc0_0000),
        (Action::Trace(7), 0x7ff0_0007),
        (Action::Log, 0x7ffc_0000),
    ] {
        let program = x86(&profile(Action::Allow, &[("read", action, &[])]));
        assert_eq!(verdict(&program, [0; 6]), value);
        assert_eq!(run(&program, Call::new(Abi::X86_64, 1)), 0x7fff_0000);
    }
}

#[test]
fn comparisons_see_all_64_bits_and_both_sides_of_the_value() {
    let value = 0x5_0000_0007;
    let cases: [(Compare, Holds); 6] = [
        (Compare::Equal, |a, b| a == b),
        (Compare::NotEqual, |a, b| a != b),
        (Compare::Less, |a, b| a < b),
        (Compare::LessOrEqual, |a, b| a <= b),
        (Compare::Greater, |a, b| a > b),
        (Compare::GreaterOrEqual, |a, b| a >= b),
    ];
    let near = [value - 1, value, value + 1, value + (1 << 32), value - (1 << 32), 7, 0, u64::MAX];
    for (compare, holds) in cases {
        for index in 0..6 {
            let rule: &[_] = &[(index, compare, value, 0)];
            let program = x86(&profile(Action::Allow, &[("read", Action::Trap, rule)]));
            for argument in near {
                let mut arguments = [value; 6];
                arguments[index] = argument;
                let trapped = verdict(&program, arguments) == Action::Trap.value();
                assert_eq!(trapped, holds(argument, value), "{compare:?} {argument:#x}");
            }
        }
    }
    let mask: &[_] = &[(2, Compare::MaskedEqual, 0xff_0000_00f0, 0x12_3456_7830)];
    let program = x86(&profile(Action::Allow, &[("read", Action::Trap, mask)]));
    for (argument, trapped) in [
        (0x12_0000_0030, true),
        (0xabcd_ff12_ffff_ff3f, true),
        (0x13_0000_0030, false),
        (0x30, false),
    ] {
        let found = verdict(&program, [0, 0, argument, 0, 0, 0]);
        assert_eq!(found == Action::Trap.value(), trapped, "{argument:#x}");
    }
}

#[test]
fn conditions_of_one_rule_are_all_needed_and_those_of_two_rules_are_not() {
    let both: &[_] = &[(0, Compare::Equal, 1, 0), (1, Compare::Equal, 2, 0)];
    let program = x86(&profile(Action::Allow, &[("read", Action::Trap, both)]));
    let trapped = |a, b| verdict(&program, [a, b, 0, 0, 0, 0]) == Action::Trap.value();
    assert!(trapped(1, 2) && !trapped(1, 0) && !trapped(0, 2));

    let either = profile(
        Action::Allow,
        &[
            ("read", Action::Trap, &[(0, Compare::Equal, 1, 0)]),
            ("read", Action::Trap, &[(1, Compare::Equal, 2, 0)]),
        ],
    );
    let program = x86(&either);
    let trapped = |a, b| verdict(&program, [a, b, 0, 0, 0, 0]) == Action::Trap.value();
    assert!(trapped(1, 2) && trapped(1, 0) && trapped(0, 2) && !trapped(0, 0));

    // Two conditions on one argument: each a rule of its own.
    let same: &[_] = &[(0, Compare::Equal, 1, 0), (0, Compare::Equal, 2, 0)];
    let program = x86(&profile(Action::Allow, &[("read", Action::Trap, same)]));
    let trapped = |a| verdict(&program, [a, 0, 0, 0, 0, 0]) == Action::Trap.value();
    assert!(trapped(1) && trapped(2) && !trapped(3));
}

#[test]
fn rule_without_conditions_stands_for_all_others() {
    let one: &[_] = &[(0, Compare::Equal, 1, 0)];
    for rules in [
        [("read", Action::Errno(5), one), ("read", Action::Trap, &[][..])],
        [("read", Action::Trap, &[][..]), ("read", Action::Errno(5), one)],
    ] {
        let program = x86(&profile(Action::Allow, &rules));
        assert_eq!(verdict(&program, [1, 0, 0, 0, 0, 0]), Action::Trap.value());
    }
    // A rule that says what is said anyway is none.
    let rules = [("read", Action::Allow, &[][..]), ("read", Action::Errno(5), one)];
    let program = x86(&profile(Action::Allow, &rules));
    assert_eq!(verdict(&program, [1, 0, 0, 0, 0, 0]), Action::Errno(5).value());
}

#[test]
fn getpid_denied_by_name_is_denied_for_every_abi_or_the_abi_is() {
    let mut denied = profile(Action::Allow, &[("getpid", Action::Errno(1), &[])]);
    let calls = [Abi::X86_64, Abi::I386, Abi::X32].map(|abi| Call::new(abi, number("getpid", abi)));
    let program = x86(&denied);
    let foreign = Action::KillThread.value();
    assert_eq!(calls.map(|call| run(&program, call)), [Action::Errno(1).value(), foreign, foreign]);
    denied.abis = vec![Abi::X32, Abi::I386];
    let program = x86(&denied);
    assert_eq!(calls.map(|call| run(&program, call)), [Action::Errno(1).value(); 3]);
    // The numbers are different calls elsewhere: 20 is getpid of i386 alone.
    assert_eq!(run(&program, Call::new(Abi::X86_64, 20)), Action::Allow.value());
    assert_eq!(run(&program, Call::new(Abi::Arm, 20)), foreign);
}

#[test]
fn socket_denied_by_name_is_denied_through_socketcall() {
    let mut denied = profile(Action::Allow, &[("socket", Action::Errno(1), &[])]);
    denied.abis = vec![Abi::I386];
    let program = x86(&denied);
    let call = |number: u32, first: u64| {
        run(&program, Call::new(Abi::I386, number).with([first, 0, 0, 0, 0, 0]))
    };
    let (errno, allow) = (Action::Errno(1).value(), Action::Allow.value());
    assert_eq!((call(102, 1), call(102, 2), call(359, 9)), (errno, allow, errno));
}

#[test]
fn name_that_nobody_knows_is_without_effect() {
    let program = x86(&profile(Action::Allow, &[("no_such_call", Action::Trap, &[])]));
    assert_eq!(program.len(), x86(&profile(Action::Allow, &[])).len());
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let (one, two): (&[_], &[_]) =
        (&[(0, Compare::Equal, 1, 0)], &[(0, Compare::Equal, 1, 0), (1, Compare::Equal, 2, 0)]);
    let error = |first: &[_], second: &[_]| {
        let rules = [("read", Action::Trap, first), ("read", Action::Errno(5), second)];
        compile(&profile(Action::Allow, &rules), Machine::X86_64).err()
    };
    let contradiction = Some(CompileError::Contradiction("read".into()));
    assert_eq!(error(one, one), contradiction);
    assert_eq!(error(two, one), contradiction);
    assert_eq!(error(one, two), None);
    assert_eq!(
        contradiction.map(|error| error.to_string()),
        Some("two rules for read say different things of the same arguments".into())
    );
}

#[test]
fn seventh_argument_is_refused() {
    let profile = profile(Action::Allow, &[("read", Action::Trap, &[(6, Compare::Equal, 1, 0)])]);
    let error = compile(&profile, Machine::X86_64).unwrap_err();
    assert_eq!(error, CompileError::NoSuchArgument("read".into(), 6));
    assert_eq!(error.to_string(), "a rule for read has an argument 6; calls have 0 to 5");
}

#[test]
fn program_may_be_long_but_not_longer_than_the_kernel_takes() {
    let rules = |count: u64| -> Profile {
        let rules = (0..count).map(|value| Rule {
            name: if value % 2 == 0 { "read".into() } else { "write".into() },
            action: Action::Errno(u16::try_from(value % 100).unwrap_or(0)),
            arguments: vec![Argument {
                index: 0,
                compare: Compare::Equal,
                value: value << 20,
                value_two: 0,
            }],
        });
        Profile { rules: rules.collect(), ..profile(Action::Allow, &[]) }
    };
    let program = x86(&rules(800));
    assert!(program.len() > 2000 && program.len() <= MAX_INSTRUCTIONS, "{}", program.len());
    for value in 0..800_u32 {
        let call = Call::new(Abi::X86_64, value % 2).with([u64::from(value) << 20, 0, 0, 0, 0, 0]);
        let errno = u16::try_from(value % 100).unwrap_or(0);
        assert_eq!(run(&program, call), Action::Errno(errno).value());
    }
    for count in [1100, 3000, 100_000] {
        let error = compile(&rules(count), Machine::X86_64).unwrap_err();
        assert_eq!(error.to_string(), "the filter needs more than 4096 instructions", "{count}");
    }
}
