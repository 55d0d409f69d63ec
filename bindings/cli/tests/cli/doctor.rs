//! `ctrun doctor`, and what it says against what then happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::bench::{Bench, skip};

#[test]
fn root_finds_everything_and_containers_run() {
    let Some(bench) = Bench::of_root() else { return };
    let text = bench.ctrun(&["doctor"]).good();
    let list = bench.ctrun(&["doctor", "--format", "json"]).json();
    let findings = list["findings"].as_array().expect("findings");
    for finding in findings {
        let name = finding["ability"].as_str().expect("a name");
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        assert!(line.is_some(), "{name} has no line in {text}");
    }
    assert_eq!(list["level"], "full", "{text}");
    assert!(text.ends_with(": containers can be run, with limits\n"), "{text}");
    bench.ctrun(&["run", "--rm", "--memory", "64M", "host", "true"]).good();
}

#[test]
fn directory_that_cannot_be_made_is_told_with_its_command_and_ends_with_1() {
    let Some(bench) = Bench::of_root() else { return };
    let words = ["--root", "/proc/nothing", "doctor"];
    let output = bench.command(&words).env("LC_ALL", "C").output().expect("ctrun");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\nNO directory.run: no container can be started\n"), "{text}");
    assert!(text.contains("ctrun --root DIR"), "{text}");
    assert!(text.ends_with(": no container can be run\n"), "{text}");
}

/// A directory with `ctrun` and its libraries, as the root of a container of
/// podman's.
struct Podman {
    place: TempDir,
}

impl Podman {
    /// `None` where podman runs nothing, after saying so.
    fn new() -> Option<Podman> {
        let place = tempfile::Builder::new().prefix("libctr-podman-").tempdir_in("/var/tmp");
        let podman = Podman { place: place.expect("directory") };
        for dir in ["usr/bin", "proc", "sys", "dev", "etc", "run", "tmp", "var/lib"] {
            fs::create_dir_all(podman.root().join(dir)).expect("directory");
        }
        let ctrun = Path::new(env!("CARGO_BIN_EXE_ctrun"));
        fs::copy(ctrun, podman.root().join("usr/bin/ctrun")).expect("copy");
        let list = Command::new("ldd").arg(ctrun).output().expect("ldd");
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        for library in list.split_whitespace().filter(|word| word.starts_with('/')) {
            let to = podman.root().join(&library[1..]);
            fs::create_dir_all(to.parent().expect("a parent")).expect("directory");
            fs::copy(library, to).expect("copy");
        }
        match podman.run(&[], &["version"]) {
            Ok(output) if output.status.success() => Some(podman),
            other => {
                skip(&format!("podman runs nothing here: {other:?}"));
                None
            }
        }
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("root")
    }

    fn run(&self, options: &[&str], words: &[&str]) -> std::io::Result<Output> {
        // The limits that it would raise may be this machine's highest.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
        // crun refuses hybrid machines.
        let podman = |runtime: &str| {
            Command::new("podman")
                .arg("--root")
                .arg(self.place.path().join("store"))
                .arg("--runroot")
                .arg(self.place.path().join("run"))
                .args(["--storage-driver", "vfs", "--runtime", runtime])
                .args(["run", "--rm", "--network", "none"])
                .args(limits)
                .args(options)
                .arg("--rootfs")
                .arg(self.root())
                .arg("/usr/bin/ctrun")
                .args(words)
                .stdin(Stdio::null())
                .output()
        };
        match podman("crun") {
            Ok(output) if String::from_utf8_lossy(&output.stderr).contains("crun") => {
                podman("runc")
            }
            other => other,
        }
    }

    fn doctor(&self, options: &[&str]) -> serde_json::Value {
        let output = self.run(options, &["doctor", "--format", "json"]).expect("podman");
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"))
    }
}

fn finding<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().find(|finding| finding["ability"] == name).expect(name)
}

#[test]
fn default_container_of_podman_is_told_what_it_lacks_and_uses_what_works() {
    let Some(_bench) = Bench::of_root() else { return };
    let Some(podman) = Podman::new() else { return };
    let report = podman.doctor(&[]);
    assert_eq!(finding(&report, "helper")["state"], "ok");
    assert_eq!(finding(&report, "namespace.user")["state"], "ok", "podman's filter allows it");
    let proc = finding(&report, "mount.proc");
    assert_eq!(proc["state"], "missing", "{proc}");
    assert_eq!(proc["fix"], "podman run --security-opt unmask=ALL …");
    let name = finding(&report, "namespace.uts");
    assert_eq!(name["state"], "missing", "{name}");
    assert_eq!(name["fix"], "podman run --security-opt seccomp=unconfined …");

    let output = podman.run(&[], &["run", "--rm", "host", "ctrun", "version"]).expect("podman");
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let words = ["run", "--rm", "--degraded", "host", "ctrun", "version"];
    let output = podman.run(&[], &words).expect("podman");
    let runs = output.status.success();
    assert_eq!(report["level"], if runs { "degraded_only" } else { "nothing" }, "{output:?}");
}

#[test]
fn container_of_podman_without_masks_and_filter_runs_containers() {
    let Some(_bench) = Bench::of_root() else { return };
    let Some(podman) = Podman::new() else { return };
    // Both commands that the doctor names in the default container.
    let open = ["--security-opt", "unmask=ALL", "--security-opt", "seccomp=unconfined"];
    let report = podman.doctor(&open);
    assert_eq!(finding(&report, "mount.proc")["state"], "ok");
    assert!(["full", "without_limits"].contains(&report["level"].as_str().expect("a level")));
    let words = ["run", "--rm", "host", "ctrun", "version"];
    let output = podman.run(&open, &words).expect("podman");
    assert!(output.status.success(), "{output:?}");
}
