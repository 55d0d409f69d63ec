//! The machine and what already surrounds this process: the kernel's version,
//! a filter of system calls, an outer container.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::utsname::uname;

use super::Finding;
use super::settings;
use crate::error::Stage;
use crate::proc::mountinfo::{self, Entry};
use crate::{sys, userns};

/// What is known about the machine.
#[derive(Debug)]
pub(super) struct Machine {
    release: String,
    hardware: String,
    /// A filter of system calls is around this process.
    filtered: bool,
    container: Option<Engine>,
    /// What is mounted in /proc and /sys, so that no new ones may be.
    covered: Vec<String>,
}

/// Who runs the container in which this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Podman,
    Docker,
}

impl Machine {
    pub(super) fn look() -> Machine {
        let part = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let (release, hardware) =
            uname().map(|name| (part(name.release()), part(name.machine()))).unwrap_or_default();
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let filtered = status.lines().any(|line| line == "Seccomp:\t2");
        let engines = [("/run/.containerenv", Engine::Podman), ("/.dockerenv", Engine::Docker)];
        // Whoever is root of the machine can change it from here.
        let container = engines
            .into_iter()
            .find_map(|(mark, engine)| Path::new(mark).exists().then_some(engine))
            .filter(|_| !userns::is_host_root());
        Machine { release, hardware, filtered, container, covered: covered() }
    }

    /// Release and hardware.
    pub(super) fn kernel(&self) -> String {
        format!("{} {}", self.release, self.hardware)
    }

    /// Whether the kernel is at least this version.
    pub(super) fn is_since(&self, version: (u32, u32)) -> bool {
        let mut parts = self.release.split(|c: char| !c.is_ascii_digit());
        let mut next = || parts.next().and_then(|part| part.parse::<u32>().ok());
        next().zip(next()).is_some_and(|found| found >= version)
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.filtered
    }

    /// What lies on a part of `/proc` or `/sys`.
    pub(super) fn covered(&self, top: &str) -> Option<&str> {
        self.covered.iter().find(|path| path.starts_with(top)).map(String::as_str)
    }

    /// How the container around this process is started without its filter.
    pub(super) fn without_filter(&self) -> Option<String> {
        match self.container {
            Some(Engine::Podman) => Some("podman run --security-opt seccomp=unconfined …".into()),
            Some(Engine::Docker) => Some("docker run --security-opt seccomp=unconfined …".into()),
            None => None,
        }
    }

    /// How it is started with its kernel file systems uncovered.
    pub(super) fn uncovered(&self) -> Option<String> {
        match self.container {
            Some(Engine::Podman) => Some("podman run --security-opt unmask=ALL …".into()),
            Some(Engine::Docker) => {
                Some("docker run --security-opt systempaths=unconfined …".into())
            }
            None => None,
        }
    }

    /// How it is started with control groups that can be written.
    pub(super) fn writable_groups(&self) -> Option<String> {
        let engine = match self.container? {
            Engine::Podman => "podman",
            Engine::Docker => "docker",
        };
        Some(format!("{engine} run -v /sys/fs/cgroup:/sys/fs/cgroup:rw …"))
    }

    /// The kernel's log, in which the OOM killer names whom it has killed.
    pub(super) fn log(&self) -> Finding {
        let name = "kmsg";
        let Err(errno) = read_log() else {
            return Finding::ok(name, "the kernel's log can be read");
        };
        let detail = format!("read(\"/dev/kmsg\"): {errno:?} ({})", errno.desc());
        let consequence = "a SIGKILL in a container whose group has counted an OOM kill is taken \
                           for that kill";
        let restricted = settings::value("/proc/sys/kernel/dmesg_restrict").as_deref() == Some("1");
        let fix = match (errno, self.container) {
            (Errno::EPERM, _) if restricted => {
                Some("as root: sysctl -w kernel.dmesg_restrict=0".to_owned())
            }
            (Errno::ENOENT, Some(Engine::Podman)) => {
                Some("podman run --device /dev/kmsg:/dev/kmsg:r …".to_owned())
            }
            (Errno::ENOENT, _) => Some("as root: mknod /dev/kmsg c 1 11".to_owned()),
            _ => None,
        };
        Finding::degraded(name, detail, consequence).with_fix(fix)
    }
}

fn read_log() -> Result<(), Errno> {
    let errno = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .map_err(errno)?;
    let mut file = fs::File::from(sys::high(OwnedFd::from(file))?);
    match file.read(&mut [0; 8192]).map_err(errno) {
        // Empty, or overtaken by new records.
        Ok(_) | Err(Errno::EAGAIN | Errno::EPIPE) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Mounts that hide a part of `/proc` or `/sys` (mount_namespaces(7)).
fn covered() -> Vec<String> {
    let table = mountinfo::read(Stage::Rootfs).unwrap_or_default();
    let hides = |entry: Entry<'_>| {
        let point = std::str::from_utf8(entry.point).ok()?;
        let kind = std::str::from_utf8(entry.kind).ok()?;
        let inside = point.starts_with("/proc/") || point.starts_with("/sys/");
        let usual = matches!(
            kind,
            "cgroup"
                | "cgroup2"
                | "securityfs"
                | "debugfs"
                | "tracefs"
                | "bpf"
                | "pstore"
                | "configfs"
                | "fusectl"
                | "efivarfs"
                | "binfmt_misc"
                | "autofs"
                | "selinuxfs"
        );
        // The parts that an engine makes read-only are mounts of proc itself.
        (inside && !usual && point != "/sys/fs/cgroup").then(|| point.to_owned())
    };
    mountinfo::entries(&table).filter_map(hides).collect()
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn version_of_the_kernel_is_compared_as_numbers() {
        let machine = |release: &str| Machine { release: release.into(), ..Machine::look() };
        for (release, version, expected) in [
            ("6.18.44-fc", (5, 3), true),
            ("5.10.0", (5, 9), true),
            ("5.4.0-generic", (5, 6), false),
            ("4.19", (5, 1), false),
            ("6", (5, 1), false),
            ("", (0, 0), false),
        ] {
            assert_eq!(machine(release).is_since(version), expected, "{release}");
        }
    }
}
