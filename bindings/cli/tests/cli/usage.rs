//! Arguments that are wrong, help and version.

use std::process::{Command, Stdio};

use crate::bench::Ran;

fn ctrun(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrun"));
    command.args(arguments).stdin(Stdio::null()).output().expect("ctrun").into()
}

#[test]
fn nothing_shows_what_there_is() {
    let help = ctrun(&[]).bad(125);
    assert!(help.contains("Usage: ctrun"), "{help}");
    for verb in ["run", "ps", "logs", "image", "features", "completions"] {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}: {help}");
    }
    assert!(!help.contains("\n  man "), "{help}");
}

#[test]
fn unknown_option_is_an_error_of_ours() {
    let text = ctrun(&["ps", "--nonsense"]).bad(125);
    assert!(text.starts_with("ctrun: unexpected argument '--nonsense' found\n"), "{text}");
    assert!(text.contains("\nUsage: ctrun ps"), "{text}");
}

#[test]
fn unknown_option_is_one_object_for_programs() {
    let text = ctrun(&["--format", "json", "ps", "--nonsense"]).bad(125);
    let error: serde_json::Value = serde_json::from_str(&text).expect("one object");
    assert_eq!(error["kind"], "invalid_input");
    assert_eq!(error["stage"], "spec");
    assert_eq!(error["errno"], serde_json::Value::Null);
    assert_eq!(error["message"], "unexpected argument '--nonsense' found");
    assert!(error["hint"].as_str().expect("hint").contains("Usage: ctrun"), "{error}");
}

#[test]
fn bad_values_name_the_option_and_what_is_expected() {
    for (option, value, expected) in [
        ("--memory", "12q", "expected a size such as 256M"),
        ("--timeout", "soon", "expected seconds, or a duration such as 90s, 1h30m or 500ms"),
        ("--volume", "data:/data", "\"data\" would be a named volume"),
        ("--mount", "type=volume,dst=/x", "type: expected bind, tmpfs or overlay"),
        ("--ulimit", "nproc=1", "expected nofile, core, stack or fsize"),
        ("--umask", "9", "expected octal digits such as 022"),
        ("--pids-limit", "x", "expected a number or -1"),
        ("--pull", "sometimes", "expected missing, always or never"),
        ("--network", "bridge", "[possible values: none, host, nat]"),
        ("--add-host", "db", "expected NAME:ADDRESS"),
        ("--cpu-shares", "1", "1 is not in 2..=262144"),
    ] {
        let text = ctrun(&["run", option, value, "host", "true"]).bad(125);
        let begin = format!("ctrun: invalid value '{value}' for '{option}");
        assert!(text.starts_with(&begin) && text.contains(expected), "{text}");
    }
}

#[test]
fn version_is_the_same_in_each_way() {
    let version = env!("CARGO_PKG_VERSION");
    let text = ctrun(&["version"]).good();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(format!("ctrun version {version}").as_str()));
    assert_eq!(lines.next_back(), Some("runspec: 1"));
    assert_eq!(ctrun(&["--version"]).good(), text);
    assert_eq!(ctrun(&["-V"]).good(), format!("ctrun version {version}\n"));
    let json = ctrun(&["version", "--format", "json"]).json();
    assert_eq!((&json["version"], &json["runspec"]), (&version.into(), &1.into()));
}

#[test]
fn help_of_run_leaves_h_to_the_host_name() {
    let help = ctrun(&["run", "--help"]).good();
    assert!(help.contains("Usage: ctrun run [OPTIONS] IMAGE [COMMAND] [ARG...]"), "{help}");
    assert!(help.contains("-h, --hostname <HOSTNAME>"), "{help}");
    let text = ctrun(&["run", "-h"]).bad(125);
    assert!(text.starts_with("ctrun: a value is required for '--hostname"), "{text}");
}

#[test]
fn reader_that_goes_away_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrun"));
    command.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ctrun");
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().expect("ctrun"));
    assert_eq!(ran, Ran { code: 0, out: String::new(), err: String::new() });
}
