//! Short ways to run the probe as another program of a container that runs.

use libctr::spec::{ExecSpec, IdMap, RunSpec, UserNamespace};
use libctr::{Container, Error, ErrorKind, Exec, Outcome, RunOptions, Stage, Stdio};

use crate::{Fixture, PATIENCE, lacks};

/// A fixture for programs in containers. Where the kernel lacks pidfds that can
/// be opened, it is checked that this is said, and there is none.
#[must_use]
pub fn fixture() -> Option<Fixture> {
    let fixture = crate::fixture()?;
    if !lacks("pidfd_open") {
        return Some(fixture);
    }
    let container = running(&fixture, |_| {});
    let (kind, stage, _, text) = refusal(&container, &probe(&["uid"]));
    assert_eq!((kind, stage), (ErrorKind::Unsupported, Stage::Launch), "{text}");
    assert!(text.ends_with("; programs can be executed in running containers from Linux 5.3 on"));
    end(&container);
    None
}

/// The probe as another program.
pub fn probe(words: &[&str]) -> ExecSpec {
    let args = std::iter::once("/probe").chain(words.iter().copied()).map(Into::into);
    ExecSpec { args: args.collect(), ..ExecSpec::default() }
}

/// With pipes for all three streams.
///
/// # Errors
/// Those of [`Container::exec`].
pub fn try_exec(container: &Container, spec: &ExecSpec) -> Result<Exec, Error> {
    let (stdin, stdout, stderr) = (Stdio::Pipe, Stdio::Pipe, Stdio::Pipe);
    container.exec(spec, RunOptions { stdin, stdout, stderr, ..RunOptions::default() })
}

/// What it prints; it must end with 0 and no complaint.
#[track_caller]
pub fn answer(container: &Container, spec: &ExecSpec) -> String {
    let exec = try_exec(container, spec).unwrap_or_else(|error| panic!("{error}"));
    let output = exec.output(b"", &spec.limits).expect("output");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
    let end = (output.exit.outcome, output.exit.code, text(&output.stderr));
    assert_eq!(end, (Outcome::Exited, Some(0), String::new()), "{}", text(&output.stdout));
    text(&output.stdout)
}

/// What the probe answers there.
#[track_caller]
pub fn ask(container: &Container, words: &[&str]) -> String {
    answer(container, &probe(words))
}

/// The whole error of a program that cannot start: kind, stage, errno, text.
#[track_caller]
pub fn refusal(container: &Container, spec: &ExecSpec) -> (ErrorKind, Stage, Option<i32>, String) {
    let error = try_exec(container, spec).expect_err("it started");
    (error.kind(), error.stage(), error.errno(), error.to_string())
}

/// A container whose program answers and goes on.
pub fn running(fixture: &Fixture, change: impl FnOnce(&mut RunSpec)) -> Container {
    let mut spec = fixture.probe(&["forever"]);
    change(&mut spec);
    fixture.start(&spec)
}

/// Ends a container.
pub fn end(container: &Container) {
    container.kill(9).expect("kill");
    container.wait(Some(PATIENCE)).expect("wait").expect("end");
}

/// Specs of containers that an exec may meet: with the host's users, if the
/// caller is root, and with a user namespace.
pub fn kinds(fixture: &Fixture, words: &[&str]) -> Vec<RunSpec> {
    let mut kinds = vec![fixture.probe(words)];
    // Mounts with the ids of other maps need the calls that make mounts by
    // descriptor.
    if nix::unistd::geteuid().is_root() && !lacks("mount_setattr") {
        let mut mapped = fixture.probe(words);
        let maps = vec![IdMap { container: 0, host: 700_000, size: 65_536 }];
        mapped.security.user_namespace =
            UserNamespace::Map { uid_maps: maps.clone(), gid_maps: maps };
        kinds.push(mapped);
    }
    kinds
}
