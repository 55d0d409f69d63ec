//! The default profile, call by call.

mod support;

use libctr_seccomp::{Abi, Action, Instruction, Machine, compile, engines, names};
use support::{Call, number, run};

const SYS_CHROOT: u64 = 1 << 18;
const SYS_ADMIN: u64 = 1 << 21;
const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const EAFNOSUPPORT: u32 = 0x0005_0061;

fn program(machine: Machine, bounding: u64) -> Vec<Instruction> {
    compile(&engines::profile(bounding), machine).expect("the engines' profile")
}

/// What becomes of a call without arguments.
fn verdict(program: &[Instruction], abi: Abi, name: &str) -> u32 {
    run(program, Call::new(abi, number(name, abi)))
}

#[test]
fn every_number_of_every_abi_is_allowed_exactly_if_it_is_listed() {
    for machine in [Machine::X86_64, Machine::Aarch64] {
        for bounding in [0, SYS_CHROOT, SYS_ADMIN, u64::MAX] {
            let profile = engines::profile(bounding);
            let program = program(machine, bounding);
            let abi = machine.native();
            let mut known = std::collections::BTreeMap::new();
            for name in names() {
                if let Some(number) = libctr_seccomp::number(name, abi) {
                    known.insert(number, name);
                }
            }
            for number in (0..2000).chain(983_000..983_100) {
                let found = run(&program, Call::new(abi, number));
                let Some(name) = known.get(&number) else {
                    assert_eq!(found, ENOSYS, "{number}");
                    continue;
                };
                let rules: Vec<_> = profile.rules.iter().filter(|r| r.name == **name).collect();
                let expected = match rules.iter().find(|rule| rule.arguments.is_empty()) {
                    Some(rule) => rule.action.value(),
                    // Those that look at arguments allow a zero.
                    None if !rules.is_empty() => ALLOW,
                    None => EPERM,
                };
                assert_eq!(found, expected, "{name} with {bounding:#x}");
            }
        }
    }
}

#[test]
fn foreign_abis_are_killed_whatever_they_call() {
    for bounding in [0, SYS_CHROOT, u64::MAX] {
        let x86 = program(Machine::X86_64, bounding);
        let arm = program(Machine::Aarch64, bounding);
        for number in 0..2000 {
            assert_eq!(run(&x86, Call::new(Abi::I386, number)), KILL_PROCESS);
            assert_eq!(run(&x86, Call::new(Abi::X32, number | Abi::X32_BIT)), KILL_PROCESS);
            assert_eq!(run(&x86, Call::new(Abi::Aarch64, number)), KILL_PROCESS);
            assert_eq!(run(&arm, Call::new(Abi::Arm, number)), KILL_PROCESS);
            assert_eq!(run(&arm, Call::new(Abi::X86_64, number)), KILL_PROCESS);
        }
        assert_eq!(run(&x86, Call::new(Abi::X86_64, u32::MAX - 1)), KILL_PROCESS);
        // What a tracer leaves that skips a call.
        assert_eq!(run(&x86, Call::new(Abi::X86_64, u32::MAX)), EPERM);
    }
}

#[test]
fn namespaces_need_the_capability() {
    for machine in [Machine::X86_64, Machine::Aarch64] {
        let abi = machine.native();
        let (without, with) = (program(machine, SYS_CHROOT), program(machine, SYS_ADMIN));
        for name in ["unshare", "setns", "mount", "umount2", "bpf", "fsopen", "open_tree"] {
            assert_eq!(verdict(&without, abi, name), EPERM, "{name}");
            assert_eq!(verdict(&with, abi, name), ALLOW, "{name}");
        }
        assert_eq!(verdict(&without, abi, "clone3"), ENOSYS);
        assert_eq!(verdict(&with, abi, "clone3"), ALLOW);
        let clone = Call::new(abi, number("clone", abi));
        for flag in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x4000_0000_u64] {
            let call = clone.with([flag | 0x11, 0, 0, 0, 0, 0]);
            assert_eq!(run(&without, call), EPERM, "{flag:#x}");
            assert_eq!(run(&with, call), ALLOW, "{flag:#x}");
        }
        // What a thread library says.
        assert_eq!(run(&without, clone.with([0x3d_0f00, 0, 0, 0, 0, 0])), ALLOW);
    }
}

#[test]
fn each_capability_brings_its_calls_and_no_others() {
    let abi = Abi::X86_64;
    let all: Vec<&str> =
        names().filter(|name| libctr_seccomp::number(name, abi).is_some()).collect();
    let allowed = |bounding: u64| -> Vec<&str> {
        let program = program(Machine::X86_64, bounding);
        all.iter().filter(|name| verdict(&program, abi, name) == ALLOW).copied().collect()
    };
    let base = allowed(0);
    let more = |capability: u32| -> Vec<&str> {
        allowed(1 << capability).into_iter().filter(|name| !base.contains(name)).collect()
    };
    assert_eq!(more(18), ["chroot"]);
    assert_eq!(more(2), ["open_by_handle_at"]);
    assert_eq!(more(17), ["ioperm", "iopl"]);
    assert_eq!(more(39), ["bpf"]);
    assert_eq!(more(34), ["syslog"]);
    assert_eq!(more(19), ["kcmp", "pidfd_getfd", "process_madvise"]);
    for capability in 0..64 {
        let changes = engines::CAPABILITIES & (1 << capability) != 0;
        assert_eq!(!more(capability).is_empty(), changes, "{capability}");
    }
}

#[test]
fn dangerous_calls_are_refused_without_capabilities() {
    let program = program(Machine::X86_64, SYS_CHROOT);
    for name in [
        "keyctl",
        "add_key",
        "request_key",
        "io_uring_setup",
        "io_uring_enter",
        "userfaultfd",
        "kexec_load",
        "init_module",
        "perf_event_open",
        "swapon",
        "pivot_root",
        "nfsservctl",
        "open_by_handle_at",
        "quotactl",
        "acct",
        "reboot",
        "iopl",
        "move_pages",
    ] {
        assert_eq!(verdict(&program, Abi::X86_64, name), EPERM, "{name}");
    }
}

#[test]
fn sockets_are_told_by_what_the_kernel_looks_at() {
    let program = program(Machine::X86_64, SYS_CHROOT);
    let socket = Call::new(Abi::X86_64, number("socket", Abi::X86_64));
    let family = |family: u64| run(&program, socket.with([family, 1, 0, 0, 0, 0]));
    for allowed in [0, 1, 2, 10, 16, 17, 37, 39, 41, 45, u64::from(u32::MAX)] {
        assert_eq!(family(allowed), ALLOW, "{allowed}");
    }
    for refused in [38, 40] {
        assert_eq!(family(refused), EAFNOSUPPORT, "{refused}");
        // An int: the kernel does not look at the upper half.
        assert_eq!(family(refused | (1 << 32)), EAFNOSUPPORT, "{refused}");
        assert_eq!(family(refused | (0xffff_ffff << 32)), EAFNOSUPPORT, "{refused}");
    }
    let personality = Call::new(Abi::X86_64, number("personality", Abi::X86_64));
    for (persona, expected) in
        [(0, ALLOW), (8, ALLOW), (0xffff_ffff, ALLOW), (0x40000, EPERM), (1, EPERM)]
    {
        assert_eq!(run(&program, personality.with([persona, 0, 0, 0, 0, 0])), expected);
    }
}

/// The figure of docs/dependencies.md, and how long the way to a verdict is.
#[test]
fn default_program_is_short() {
    for (machine, most) in [(Machine::X86_64, 150), (Machine::Aarch64, 150)] {
        let program = program(machine, SYS_CHROOT);
        let length = program.len();
        assert!(length <= most, "{machine:?}: {length} instructions");
        assert_eq!(Action::Allow.value(), verdict(&program, machine.native(), "read"));
    }
}
