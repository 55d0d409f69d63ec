//! The README's example does what it says, in Rust and on the command line.
//! (In C: `ffi_c.rs`; in Python: `python/tests/test_readme.py`.)

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libctr_tests::{fixture, skip};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The first block of the README in a language.
fn block(language: &str) -> String {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("README.md");
    let (_, after) = readme.split_once(&format!("```{language}\n")).expect("a block");
    after.split_once("```").expect("its end").0.to_owned()
}

/// A program that `cargo test --workspace` has built, or a skip.
fn built(name: &str) -> Option<PathBuf> {
    let this = std::env::current_exe().expect("own path");
    let path = this.parent().and_then(Path::parent).expect("a target directory").join(name);
    if !path.exists() {
        skip(&format!("{name} is not built; `cargo test --workspace` builds it"));
        return None;
    }
    Some(path)
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn rust_example_is_the_file_and_runs() {
    // First, because whoever has the turn counts the descriptors of all.
    let turn = fixture();
    let file = fs::read_to_string(workspace().join("core/examples/hello.rs")).expect("hello.rs");
    let start = file.find("use libctr").expect("its first line of code");
    assert_eq!(block("rust"), file[start..]);
    let (Some(turn), Some(program)) = (turn, built("examples/hello")) else { return };
    if !turn.has_groups() {
        return;
    }
    let said = run(&mut Command::new(program));
    let (first, second) = said.split_once('\n').expect("two lines");
    assert_eq!(first, "hello from box");
    assert!(second.starts_with("exited 0; wall "), "{second}");
    assert!(second.contains(", memory ") && second.contains(", processes "), "{second}");
}

#[test]
fn command_line_example_runs() {
    let (Some(fixture), Some(program)) = (fixture(), built("ctrun")) else { return };
    if !fixture.has_groups() {
        return;
    }
    let line = block("sh");
    let words = line.trim().strip_prefix("ctrun ").expect("the program");
    let script = format!("exec \"$0\" --root \"$1\" --data \"$2\" {words}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(program);
    shell.args(["run", "data"].map(|name| fixture.path().join(name)));
    assert_eq!(run(&mut shell), "hello from box\n");
}
