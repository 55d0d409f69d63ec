use std::time::Instant;

use libctr_helper::plan::{self, Kind, flag};
use libctr_seccomp::{Instruction, Machine, compile, engines};
use serde_json::json;

use super::{Filter, USUAL, filter, write};
use crate::error::{ErrorKind, Stage};
use crate::helper::plan::Plan;
use crate::launch::security;
use crate::spec::{RunSpec, Seccomp};

fn with(profile: serde_json::Value) -> RunSpec {
    let mut spec = RunSpec::default();
    spec.security.seccomp = serde_json::from_value(profile).expect("a profile");
    spec
}

/// The error of a profile, after `user: security.seccomp: `.
fn refusal(profile: serde_json::Value) -> String {
    let error = filter(&with(profile), 0).expect_err("an error");
    assert_eq!(error.stage(), Stage::User);
    let text = error.to_string();
    text.strip_prefix("user: security.seccomp: ").unwrap_or(&text).to_owned()
}

fn bytes(bounding: u64) -> Vec<u8> {
    let program = compile(&engines::profile(bounding), Machine::NATIVE).expect("a program");
    program.into_iter().flat_map(Instruction::to_bytes).collect()
}

#[test]
fn default_filter_is_the_one_of_the_build_unless_capabilities_change_it() {
    assert_eq!(USUAL, bytes(engines::USUAL));
    assert_eq!(security::DEFAULT & engines::CAPABILITIES, engines::USUAL);
    let of = |bounding| filter(&RunSpec::default(), bounding).expect("a filter").expect("one");
    let usual = of(security::DEFAULT);
    assert!(matches!(usual.program, std::borrow::Cow::Borrowed(_)));
    for bounding in [0, 1 << 21, u64::MAX] {
        let Filter { program, flags, .. } = of(bounding);
        assert_eq!((program.as_ref(), flags), (bytes(bounding).as_slice(), 0));
        assert_ne!(program, usual.program);
    }
    let mut spec = RunSpec::default();
    spec.security.seccomp = Seccomp::Unconfined;
    assert!(filter(&spec, 0).expect("nothing").is_none());
}

#[test]
fn document_of_the_default_means_what_the_default_does() {
    for bounding in [engines::USUAL, 0, u64::MAX] {
        let shown = filter(&RunSpec::default(), bounding).expect("a filter").expect("one").document;
        let mut read = super::document::profile(&shown).expect("a profile");
        let default = engines::profile(bounding);
        (read.foreign, read.unknown) = (default.foreign, default.unknown);
        read.abis.clear();
        assert_eq!(read, default);
    }
}

#[test]
fn filter_is_a_record_of_its_program_and_flags() {
    let mut spec = with(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    }));
    spec.security.no_new_privileges = false;
    let mut written = Plan::new();
    let made = filter(&spec, 0).expect("a filter");
    write(&mut written, &spec, made.as_ref());
    let bytes = written.to_bytes();
    let read = plan::Plan::new(&bytes).expect("a plan");
    assert!(read.has(flag::LISTENER) && read.has(flag::FILTER_CAP));
    let mut record = read.of(Kind::Filter).next().expect("a filter");
    assert_eq!(record.u32(), Some(2 | 4 | 8 | 32));
    let count = record.u32().and_then(|count| usize::try_from(count).ok()).expect("a count");
    assert_eq!(record.bytes(count * 8), made.map(|filter| filter.program.to_vec()).as_deref());
}

#[test]
fn profiles_that_cannot_work_are_refused_in_words() {
    let rule = |name: &str, action: &str| json!([{"names": [name], "action": action}]);
    let allow = |syscalls| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls});
    let notify = "SCMP_ACT_NOTIFY";
    let refused = "the profile refuses execve, with which every program begins";
    let answer = "nobody can answer before the program runs";
    for (profile, expected) in [
        (json!({"defaultAction": "SCMP_ACT_ERRNO"}), refused.to_owned()),
        (json!({"defaultAction": "SCMP_ACT_KILL"}), refused.to_owned()),
        (allow(rule("execve", "SCMP_ACT_TRAP")), refused.to_owned()),
        (json!({"defaultAction": notify}), format!("{notify} cannot be the default action")),
        (allow(rule("execve", notify)), format!("{notify} cannot be used for execve; {answer}")),
        (
            allow(rule("exit_group", notify)),
            format!("{notify} cannot be used for exit_group; {answer}"),
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent"}),
            "listenerPath and listenerMetadata are not supported; \
             the listener is handed to the caller as a descriptor"
                .into(),
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 70000}),
            "errnoRet is 70000, at most 65535".into(),
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW",
                "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}),
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is for profiles with SCMP_ACT_NOTIFY".into(),
        ),
        (
            allow(json!([{"names": ["read"], "action": "SCMP_ACT_TRAP",
                "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}])),
            "a rule for read has an argument 6; calls have 0 to 5".into(),
        ),
    ] {
        assert_eq!(refusal(profile), expected);
    }
    let mut spec = with(allow(rule("mkdir", notify)));
    spec.init = false;
    let error = filter(&spec, 0).expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("SCMP_ACT_NOTIFY needs \"init\": true"), "{error}");
}

#[test]
fn profile_that_is_too_long_is_refused_and_soon() {
    let value = |value: u64| json!({"index": 0, "value": value << 20, "op": "SCMP_CMP_EQ"});
    let rule = |number: u64| json!({"names": ["read", "write"], "action": "SCMP_ACT_TRAP", "args": [value(number)]});
    let rules: Vec<_> = (0..20_000).map(rule).collect();
    let begun = Instant::now();
    let text = refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
    assert_eq!(text, "the filter needs more than 4096 instructions");
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}
