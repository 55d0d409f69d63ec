//! Everything of a host process that the library promises not to change
//! (`core/src/lib.rs`), as lines to compare.

#![allow(unsafe_code, reason = "one system call that has no wrapper")]

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::leaks::{self, names};

/// How long threads that were joined may still be seen.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// State of this process: what, and its value.
#[derive(Debug, PartialEq, Eq)]
pub struct HostState(BTreeMap<String, String>);

impl HostState {
    /// Looks at this process.
    #[must_use]
    pub fn look() -> HostState {
        let mut state = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            state.insert(format!("variable {name:?}"), format!("{value:?}"));
        }
        for name in ["limits", "oom_score_adj", "cgroup", "personality", "cmdline"] {
            let text = fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
            state.insert(name.into(), text);
        }
        // The mount table is the machine's: other runs of these tests mount
        // small file systems, and name them so.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in mounts.lines().filter(|line| !line.contains(" libctr-small ")) {
            state.insert(format!("mount {line}"), String::new());
        }
        for name in ["cwd", "root", "exe"] {
            state.insert(name.into(), link(&format!("/proc/self/{name}")));
        }
        // Other tests begin and wait at any moment, in threads of their names;
        // a thread that this one or the library makes has this one's name.
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (process, own) = (std::process::id().to_string(), read("/proc/thread-self/comm"));
        for thread in names("/proc/self/task".as_ref()) {
            let directory = format!("/proc/self/task/{thread}");
            if thread != process && read(&format!("{directory}/comm")) != own {
                continue;
            }
            for name in names(format!("{directory}/ns").as_ref()) {
                state.insert(format!("{thread} {name}"), link(&format!("{directory}/ns/{name}")));
            }
            for line in read(&format!("{directory}/status")).lines().filter(|line| is_state(line)) {
                let (key, value) = line.split_once(':').unwrap_or_default();
                state.insert(format!("{thread} {key}"), value.into());
            }
        }
        let (subreaper, dumpable) =
            (nix::sys::prctl::get_child_subreaper(), nix::sys::prctl::get_dumpable());
        state.insert("subreaper".into(), format!("{subreaper:?}"));
        state.insert("dumpable".into(), format!("{dumpable:?}"));
        state.insert("keyring".into(), session_keyring().to_string());
        state.insert("children".into(), format!("{:?}", leaks::children()));
        state.insert("descriptors".into(), format!("{:?}", leaks::descriptors()));
        HostState(state)
    }

    /// Fails the test if anything has changed since.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        let end = Instant::now() + LAST_BREATH;
        loop {
            let now = HostState::look();
            let changes: Vec<String> = self
                .0
                .keys()
                .chain(now.0.keys())
                .filter(|key| self.0.get(*key) != now.0.get(*key))
                .map(|key| format!("{key}: {:?} before, {:?} now", self.0.get(key), now.0.get(key)))
                .collect();
            if changes.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{changes:#?}");
            sleep(Duration::from_millis(10));
        }
    }
}

fn link(path: &str) -> String {
    fs::read_link(path).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether a line of /proc/self/status is no measurement.
fn is_state(line: &str) -> bool {
    const MEASURED: [&str; 12] = [
        "Threads",
        "State",
        "Vm",
        "Rss",
        "Hugetlb",
        "voluntary",
        "nonvoluntary",
        "SigQ",
        "ShdPnd",
        "FDSize",
        "untag",
        "x86_",
    ];
    !MEASURED.iter().any(|key| line.starts_with(key))
}

/// Serial number of this process' session keyring; negative if it has none.
#[must_use]
pub fn session_keyring() -> i64 {
    const GET_KEYRING_ID: libc::c_int = 0;
    const SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0) }
}

/// Does something on a thread that has a session keyring of its own with a key
/// of type `user` in it; `None` where there are no keyrings.
///
/// # Panics
/// As `act` does, or if there is no room for a key.
pub fn session_key<T: Send>(name: &str, act: impl FnOnce() -> T + Send) -> Option<T> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    const SESSION_KEYRING: libc::c_int = -3;
    let name = std::ffi::CString::new(name).expect("a name");
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let nobody: *const libc::c_char = std::ptr::null();
            // SAFETY: numbers and a null.
            let made = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, nobody) };
            if made < 0 {
                return None;
            }
            let (kind, name, value) = (c"user".as_ptr(), name.as_ptr(), c"value".as_ptr());
            // SAFETY: the strings live through the call, the value has five bytes.
            let key = unsafe {
                libc::syscall(libc::SYS_add_key, kind, name, value, 5_usize, SESSION_KEYRING)
            };
            assert!(key > 0, "add_key");
            Some(act())
        });
        thread.join().expect("no panic")
    })
}
