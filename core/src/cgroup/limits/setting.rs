//! One limit in the form in which the kernel takes it, and its writing.
//!
//! Host side.

use std::path::Path;

use nix::errno::Errno;

use crate::cgroup::file;
use crate::error::{Error, ErrorKind, Result, Stage};

/// Values for control files that stand for one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cgroup) struct Setting {
    /// The key of the document that asks for it.
    key: &'static str,
    /// Which files could take it: every one that exists is written, because
    /// each belongs to another scheduler or kernel version.
    files: Vec<(&'static str, String)>,
    absent: Absent,
}

/// What it means that no file of a setting exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    /// The limit cannot be enforced; this would help.
    Refuse(&'static str),
    /// Nobody asked for the limit.
    Skip,
    /// Without swap accounting, swap is limited to nothing if there is none.
    NeedsNoSwap,
}

impl Setting {
    pub(in crate::cgroup) fn new(
        key: &'static str,
        file: &'static str,
        value: impl ToString,
    ) -> Setting {
        Setting {
            key,
            files: vec![(file, value.to_string())],
            absent: Absent::Refuse("the kernel is built without it"),
        }
    }

    /// The same limit for another kernel or scheduler.
    pub(in crate::cgroup) fn or(mut self, file: &'static str, value: impl ToString) -> Setting {
        self.files.push((file, value.to_string()));
        self
    }

    /// What helps where no file exists.
    pub(in crate::cgroup) fn hint(mut self, hint: &'static str) -> Setting {
        self.absent = Absent::Refuse(hint);
        self
    }

    /// Nothing is wrong without the file on a machine without swap.
    pub(in crate::cgroup) fn unless_no_swap(mut self) -> Setting {
        self.absent = Absent::NeedsNoSwap;
        self
    }

    /// Nothing is wrong without the file, because this is a mere default.
    pub(in crate::cgroup) fn best_effort(mut self) -> Setting {
        self.absent = Absent::Skip;
        self
    }

    /// Writes the setting into the group `dir`.
    pub(in crate::cgroup) fn apply(&self, dir: &Path) -> Result<()> {
        let mut written = false;
        for (name, value) in &self.files {
            written |=
                file::write_if_there(dir, name, value).map_err(|error| self.refused(dir, error))?;
        }
        if written {
            return Ok(());
        }
        if !file::exists(dir) {
            return Err(Error::sys(Stage::Cgroup, format!("open({dir:?})"), Errno::ENOENT));
        }
        match self.absent {
            Absent::Skip => Ok(()),
            Absent::NeedsNoSwap if !has_swap() => Ok(()),
            Absent::NeedsNoSwap => Err(self.missing(dir, "swapoff -a, or boot with swapaccount=1")),
            Absent::Refuse(hint) => Err(self.missing(dir, hint)),
        }
    }

    fn missing(&self, dir: &Path, hint: &str) -> Error {
        let names: Vec<&str> = self.files.iter().map(|(name, _)| *name).collect();
        Error::new(
            Stage::Cgroup,
            ErrorKind::Unsupported,
            format!("{} cannot be enforced: no {} in {dir:?}", self.key, names.join(" or ")),
        )
        .with_hint(hint)
    }

    /// The kernel's answer about the value, in terms of the caller.
    fn refused(&self, dir: &Path, error: Error) -> Error {
        let errno = error.errno().map_or(Errno::UnknownErrno, Errno::from_raw);
        let again = Error::sys(Stage::Cgroup, format!("{}: {}", self.key, error.message()), errno);
        match errno {
            Errno::EINVAL | Errno::ERANGE => again.with_kind(ErrorKind::InvalidInput),
            Errno::ENODEV if self.key == IO => again
                .with_kind(ErrorKind::InvalidInput)
                .with_hint("limits work on whole disks, see lsblk -d"),
            Errno::EBUSY => match file::read(dir, "memory.usage_in_bytes") {
                Ok(usage) => again.with_hint(format!("{} bytes are in use", usage.trim())),
                Err(_) => again,
            },
            _ => again,
        }
    }
}

/// The key of device rates, whose ENODEV means something.
pub(in crate::cgroup) const IO: &str = "limits.io";

/// What helps where the kernel does not account swap.
pub(in crate::cgroup) const SWAP_HINT: &str = "boot with swapaccount=1";

/// Whether the machine has any swap; where that cannot be read, it may.
fn has_swap() -> bool {
    // the first line is a heading
    file::read("/proc".as_ref(), "swaps").map_or(true, |text| text.lines().nth(1).is_some())
}

#[cfg(test)]
mod tests {
    use super::Setting;
    use crate::error::{ErrorKind, Stage};
    use std::fs;

    #[test]
    fn every_file_that_exists_is_written() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["io.weight", "io.bfq.weight"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let setting = Setting::new("limits.io weight", "io.weight", "200")
            .or("io.bfq.weight", "109")
            .or("io.none", "1");
        setting.apply(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("io.weight")).unwrap(), "200");
        assert_eq!(fs::read_to_string(dir.path().join("io.bfq.weight")).unwrap(), "109");
        assert!(!dir.path().join("io.none").exists());
    }

    #[test]
    fn a_limit_without_a_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let setting =
            Setting::new("limits.io weight", "io.weight", 1).or("io.bfq.weight", 1).hint("use bfq");
        let error = setting.apply(dir.path()).unwrap_err();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::Unsupported, Stage::Cgroup));
        assert_eq!(
            error.message(),
            format!(
                "limits.io weight cannot be enforced: no io.weight or io.bfq.weight in {:?}",
                dir.path()
            )
        );
        assert_eq!(error.hint(), Some("use bfq"));
    }

    #[test]
    fn a_group_that_is_gone_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let error = Setting::new("limits.pids", "pids.max", 1).apply(&dir.path().join("x"));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.errno(), Some(libc::ENOENT));
    }
}
