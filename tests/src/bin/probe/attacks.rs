//! What a hostile program would try, as far as it can be tried without harm:
//! files are opened and not written, the targets are the tests' own.
//!
//! # Safety
//! One thread; each call gets numbers, or addresses of values that live
//! through it.

#![allow(unsafe_code, reason = "system calls that the standard library does not have")]

use std::ffi::{CString, c_int, c_long, c_ulong, c_void};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Error, Result, Write, stdout};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::{actions, system};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
}

const fn number(x86_64: c_long, aarch64: c_long) -> c_long {
    if cfg!(target_arch = "x86_64") { x86_64 } else { aarch64 }
}

fn invalid() -> Error {
    Error::from_raw_os_error(22)
}

fn check(result: c_long) -> Result<c_long> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// Tries one thing; `None`: it is none of these.
pub(crate) fn attempt(name: &str, words: &[&str]) -> Option<Result<()>> {
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let value = |at: usize| word(at).parse::<c_int>().map_err(|_| invalid());
    Some(match name {
        "exchange" => exchange(word(0), word(1)),
        "writable" => writable(Path::new(word(0))),
        "key" => key(word(0)),
        "connect" => SocketAddr::from_abstract_name(word(0))
            .and_then(|address| UnixStream::connect_addr(&address).map(drop)),
        "signal" => value(0).and_then(|pid| system::kill(pid, value(1)?)),
        "trace" => trace(word(0)),
        "watch" => watch(word(0)),
        "input" => input(),
        "steal" => value(0).and_then(steal),
        "mount" => mount(words),
        "unshare" => words.first().and_then(|flags| flags.parse().ok()).map_or_else(
            || Err(invalid()),
            |flags: c_long| {
                // SAFETY: a number only.
                check(unsafe { syscall(number(272, 97), flags) }).map(drop)
            },
        ),
        "seals" => seals(word(0)),
        "reopen" => reopen(word(0)),
        "inodes" => inodes(Path::new(word(0))),
        _ => return None,
    })
}

/// Exchanges two names for ever.
fn exchange(a: &str, b: &str) -> Result<()> {
    const AT_FDCWD: c_int = -100;
    const RENAME_EXCHANGE: c_int = 2;
    let (a, b) = (CString::new(a)?, CString::new(b)?);
    loop {
        // SAFETY: both paths live through the call.
        check(unsafe {
            syscall(number(316, 276), AT_FDCWD, a.as_ptr(), AT_FDCWD, b.as_ptr(), RENAME_EXCHANGE)
        })?;
    }
}

/// All files below a directory that can be opened for writing and have the
/// mode for it: root opens the others too, but the kernel has no way to write
/// them. Of the processes in /proc only this one is looked at, as `self`.
fn writable(directory: &Path) -> Result<()> {
    let mut todo = vec![directory.to_owned()];
    let mut found = Vec::new();
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_process = name.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !is_process => todo.push(path),
                Ok(kind) if kind.is_file() => {
                    const QUIETLY: i32 = 0o4000 | 0o400 | 0o40_0000;
                    let mut options = OpenOptions::new();
                    let opened = options.write(true).custom_flags(QUIETLY).open(&path);
                    let writable = |found: Metadata| found.is_file() && found.mode() & 0o222 != 0;
                    if opened.and_then(|file| file.metadata()).is_ok_and(writable) {
                        found.push(path.to_string_lossy().into_owned());
                    }
                }
                _ => {}
            }
        }
    }
    found.sort();
    writeln!(stdout(), "{}", found.join("\n"))
}

/// Looks for a key of type `user` from the session keyring on.
fn key(name: &str) -> Result<()> {
    const SEARCH: c_int = 10;
    const SESSION_KEYRING: c_int = -3;
    let name = CString::new(name)?;
    let kind = c"user".as_ptr();
    // SAFETY: both strings live through the call.
    check(unsafe { syscall(number(250, 219), SEARCH, SESSION_KEYRING, kind, name.as_ptr(), 0) })?;
    writeln!(stdout(), "found")
}

/// Attaches to a process, `child` being a new one, and lets it go.
fn trace(pid: &str) -> Result<()> {
    const SEIZE: c_long = 0x4206;
    const NOTHING: c_long = 0;
    let child = match pid {
        "child" => match system::fork()? {
            None => loop {
                sleep(Duration::from_secs(60));
            },
            child => child,
        },
        _ => None,
    };
    let target = child.or_else(|| pid.parse().ok()).ok_or_else(invalid)?;
    // SAFETY: numbers only; its end is the end of the tracing.
    let traced =
        check(unsafe { syscall(number(101, 117), SEIZE, c_long::from(target), NOTHING, NOTHING) });
    if let Some(child) = child {
        system::kill(child, system::SIGKILL)?;
        system::wait(child)?;
    }
    traced?;
    writeln!(stdout(), "traced")
}

/// Says for ever which processes can be looked into that execute such a file,
/// and where their descriptors lead.
fn watch(name: &str) -> Result<()> {
    loop {
        for entry in fs::read_dir("/proc")?.flatten() {
            let Ok(program) = fs::read_link(entry.path().join("exe")) else { continue };
            if !program.to_string_lossy().contains(name) {
                continue;
            }
            writeln!(stdout(), "{} {}", entry.path().display(), program.display())?;
            for entry in fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten() {
                let target = fs::read_link(entry.path()).unwrap_or_default();
                writeln!(stdout(), "{} {}", entry.path().display(), target.display())?;
            }
        }
    }
}

/// Types a letter into the terminal on standard input (TIOCSTI).
fn input() -> Result<()> {
    let mut letter = b'x';
    // SAFETY: the byte lives through the call.
    check(unsafe { ioctl(0, 0x5412, (&raw mut letter).cast()) }.into())?;
    writeln!(stdout(), "typed")
}

/// Makes the terminal on standard input its own (TIOCSCTTY), `force`d or not.
fn steal(force: c_int) -> Result<()> {
    let force = usize::try_from(force).map_err(|_| invalid())?;
    // SAFETY: a number in the place of the address.
    check(unsafe { ioctl(0, 0x540e, std::ptr::without_provenance_mut(force)) }.into())?;
    writeln!(stdout(), "stolen")
}

/// `SOURCE TARGET TYPE FLAGS [DATA]`
fn mount(words: &[&str]) -> Result<()> {
    let [source, target, kind, flags, data @ ..] = words else { return Err(invalid()) };
    let flags: c_ulong = flags.parse().map_err(|_| invalid())?;
    let text = |text: &str| CString::new(text).map_err(|_| invalid());
    let (source, target, kind) = (text(source)?, text(target)?, text(kind)?);
    let data = text(&data.join(","))?;
    // SAFETY: the strings live through the call.
    check(unsafe {
        syscall(
            number(165, 40),
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr(),
        )
    })?;
    writeln!(stdout(), "mounted")
}

/// The seals of a memory file (F_GET_SEALS).
fn seals(path: &str) -> Result<()> {
    let file = File::open(path)?;
    // SAFETY: numbers only.
    let seals = check(unsafe { fcntl(file.as_raw_fd(), 1034) }.into())?;
    writeln!(stdout(), "{seals}")
}

/// Opens a file for reading, and what is open then for writing.
fn reopen(path: &str) -> Result<()> {
    let file = File::open(path)?;
    let again = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().write(true).open(again)?;
    writeln!(stdout(), "writable")
}

/// Makes empty files until there is no room for another; says how many.
fn inodes(directory: &Path) -> Result<()> {
    for made in 0_u64.. {
        if let Err(error) = File::create(directory.join(made.to_string())) {
            actions::act("say", &[&made.to_string()])?;
            return Err(error);
        }
    }
    Ok(())
}
