//! Runs the program `report` (`src/bin/report.rs`), and holds what it says
//! against what it then could do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use libctr_tests::probe_path;
use serde_json::Value;
use tempfile::TempDir;

/// A directory that everybody can read, with the programs in it.
#[derive(Debug)]
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let dir = tempfile::Builder::new()
            .prefix("libctr-doctor-")
            .tempdir_in("/var/tmp")
            .expect("directory");
        open(dir.path());
        for (from, to) in
            [(Path::new(env!("CARGO_BIN_EXE_report")), "doctor"), (probe_path(), "program")]
        {
            let to = dir.path().join(to);
            fs::copy(from, &to).expect("copy");
            open(&to);
        }
        Place { dir }
    }

    /// One whose run and data directories belong to a user.
    pub(crate) fn of(uid: u32, gid: u32) -> Place {
        let place = Place::new();
        let own = place.path("own");
        fs::create_dir(&own).expect("directory");
        chown(&own, Some(uid), Some(gid)).expect("chown");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The words of a command that runs the doctor.
    pub(crate) fn words(&self) -> [PathBuf; 4] {
        let own = self.path("own");
        [self.path("doctor"), own.join("run"), own.join("data"), self.path("program")]
    }

    /// Runs a script in a shell that was prepared by `before`; the words that
    /// run the doctor are its arguments.
    pub(crate) fn script(&self, before: &[&str], script: &str) -> Report {
        let _ = fs::create_dir(self.path("own"));
        let (first, rest) = before.split_first().map_or(("env", &[][..]), |(a, b)| (*a, b));
        let mut command = Command::new(first);
        command.args(rest).args(["sh", "-ec", script, "sh"]).args(self.words());
        Report::read(command.output().expect("the command"))
    }

    /// Nothing is left of containers and tries.
    pub(crate) fn assert_clean(&self) {
        for entry in fs::read_dir(self.path("own")).expect("directory").flatten() {
            let name = entry.file_name();
            assert!(name == "run" || name == "data", "{name:?} is left");
        }
    }
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// What the doctor said, and what happened.
#[derive(Debug)]
pub(crate) struct Report(pub(crate) Value);

impl Report {
    pub(crate) fn read(output: Output) -> Report {
        let text = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {text}{error}", output.status);
        Report(serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("{text}{error}")))
    }

    pub(crate) fn level(&self) -> &str {
        self.0["probe"]["level"].as_str().expect("a level")
    }

    /// State and detail of a finding.
    pub(crate) fn of(&self, name: &str) -> (&str, &str) {
        let finding = self.finding(name);
        (finding["state"].as_str().expect("a state"), finding["detail"].as_str().expect("a text"))
    }

    pub(crate) fn fix(&self, name: &str) -> Option<&str> {
        self.finding(name)["fix"].as_str()
    }

    fn finding(&self, name: &str) -> &Value {
        let findings = self.0["probe"]["findings"].as_array().expect("findings");
        findings.iter().find(|found| found["ability"] == name).unwrap_or_else(|| panic!("{name}"))
    }

    /// The level is what really could be run.
    #[track_caller]
    pub(crate) fn agrees(self) -> Report {
        let (run, degraded) = (&self.0["run"], &self.0["degraded"]);
        let runs = matches!(self.level(), "full" | "without_limits");
        assert_eq!(run.is_null(), runs, "{}: {run}", self.level());
        let degrades = self.level() != "nothing";
        assert_eq!(degraded.is_null(), degrades, "{}: {degraded}", self.level());
        self
    }
}
