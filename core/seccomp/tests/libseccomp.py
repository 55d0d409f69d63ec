"""Compiles profiles with libseccomp, used as the engines' runtimes use it.

A profile per line of standard input, as JSON; for each a line of standard
output: the program in hexadecimal, or "error: ...".
"""

import json
import sys
import tempfile

import seccomp

ARCHES = {
    "X86_64": seccomp.Arch.X86_64,
    "X32": seccomp.Arch.X32,
    "I386": seccomp.Arch.X86,
    "Aarch64": seccomp.Arch.AARCH64,
    "Arm": seccomp.Arch.ARM,
}
COMPARE = {
    "NotEqual": seccomp.NE,
    "Less": seccomp.LT,
    "LessOrEqual": seccomp.LE,
    "Equal": seccomp.EQ,
    "GreaterOrEqual": seccomp.GE,
    "Greater": seccomp.GT,
    "MaskedEqual": seccomp.MASKED_EQ,
}


def action(word):
    kind, number = word
    plain = {
        "KillProcess": seccomp.KILL_PROCESS,
        "KillThread": seccomp.KILL,
        "Trap": seccomp.TRAP,
        "Notify": seccomp.NOTIFY,
        "Log": seccomp.LOG,
        "Allow": seccomp.ALLOW,
    }
    if kind in plain:
        return plain[kind]
    return {"Errno": seccomp.ERRNO, "Trace": seccomp.TRACE}[kind](number)


def condition(index, compare, value, value_two):
    return seccomp.Arg(index, COMPARE[compare], value, value_two)


def program(profile):
    default = action(profile["default"])
    made = seccomp.SyscallFilter(default)
    native = ARCHES[profile["native"]]
    if not made.exist_arch(native):
        made.add_arch(native)
        made.remove_arch(seccomp.Arch.NATIVE)
    made.set_attr(seccomp.Attr.ACT_BADARCH, action(profile["foreign"]))
    for name in profile["abis"]:
        if not made.exist_arch(ARCHES[name]):
            made.add_arch(ARCHES[name])
    for rule in profile["rules"]:
        if rule["action"] == profile["default"]:
            continue
        number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, rule["name"])
        if number == -1:
            continue
        arguments = [condition(*argument) for argument in rule["arguments"]]
        indices = [argument[0] for argument in rule["arguments"]]
        repeated = len(set(indices)) < len(indices)
        chains = [[argument] for argument in arguments] if repeated else [arguments]
        for chain in chains:
            made.add_rule(action(rule["action"]), number, *chain)
    with tempfile.TemporaryFile() as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read().hex()


for line in sys.stdin:
    try:
        print(program(json.loads(line)))
    except Exception as error:  # the rules contradict each other, for example
        print(f"error: {error!r}")
