//! Completions and man pages.

use std::io::Write;
use std::process::{Command, Stdio};

fn ctrun(arguments: &[&str]) -> crate::bench::Ran {
    Command::new(env!("CARGO_BIN_EXE_ctrun")).args(arguments).output().expect("ctrun").into()
}

#[test]
fn completions_exist_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ctrun(&["completions", shell]).good();
        for word in ["ctrun", "unpause", "no-trunc", "memory-swap"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let text = ctrun(&["completions", "csh"]).bad(125);
    assert!(text.starts_with("ctrun: invalid value 'csh' for '<SHELL>'"), "{text}");
}

#[test]
fn completions_of_bash_complete() {
    let script = ctrun(&["completions", "bash"]).good();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-s"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = bash.spawn().expect("bash");
    let ask =
        "COMP_WORDS=(ctrun unp); COMP_CWORD=1; _ctrun ctrun unp ctrun; echo \"${COMPREPLY[@]}\"";
    let mut input = child.stdin.take().expect("stdin");
    input.write_all(format!("{script}\n{ask}\n").as_bytes()).expect("write");
    drop(input);
    let output = child.wait_with_output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "unpause\n");
}

#[test]
fn man_pages_are_written_for_each_command() {
    let dir = tempfile::tempdir().expect("directory");
    let pages = dir.path().join("man1");
    ctrun(&["man", pages.to_str().expect("path")]).good();
    for name in ["ctrun.1", "ctrun-run.1", "ctrun-image-load.1", "ctrun-logs.1"] {
        let page = std::fs::read_to_string(pages.join(name)).expect(name);
        assert!(page.contains(".TH"), "{name}");
    }
    let page = std::fs::read_to_string(pages.join("ctrun-run.1")).expect("page");
    assert!(page.contains("\\-\\-memory\\-swap"), "{page}");

    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("file");
    let text = ctrun(&["man", file.to_str().expect("path")]).bad(125);
    assert_eq!(text, format!("ctrun: state: mkdir({file:?}): EEXIST (File exists)\n"));
}
