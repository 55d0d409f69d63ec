//! What the probe can be asked.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{Error, Result};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::system;

/// The answer to a question; `None`: it is none.
pub(crate) fn answer(name: &str, words: &[&str]) -> Option<Result<Vec<u8>>> {
    let path = words.first().copied().unwrap_or_default();
    let answer = match name {
        "uid" => status(&["Uid"]),
        "gid" => status(&["Gid"]),
        "groups" => status(&["Groups"]),
        "capabilities" => status(&["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]),
        "no_new_privs" => status(&["NoNewPrivs"]),
        "seccomp" => status(&["Seccomp"]),
        "umask" => status(&["Umask"]),
        "signals" => status(&["SigBlk", "SigIgn", "SigCgt"]),
        "cpus" => status(&["Cpus_allowed_list"]),
        "mounts" => read("/proc/self/mountinfo"),
        "limits" => read("/proc/self/limits"),
        "cgroup" => read("/proc/self/cgroup"),
        "oom_score" => read("/proc/self/oom_score_adj"),
        "environment" => fs::read("/proc/self/environ"),
        "arguments" => fs::read("/proc/self/cmdline"),
        "hostname" => read("/proc/sys/kernel/hostname"),
        "cwd" => std::env::current_dir().map(|cwd| cwd.into_os_string().into_vec()),
        "descriptors" => descriptors(),
        "namespaces" => namespaces(),
        "ids" => ids(),
        "terminal" => terminal(),
        "keyring" => system::session_keyring().map(|id| id.to_string().into_bytes()),
        "interfaces" => interfaces(),
        "zombies" => zombies(),
        "read" => read(path),
        "link" => fs::read_link(path).map(|path| path.into_os_string().into_vec()),
        "stat" => stat(path),
        "list" => list(path),
        "call" => call(words),
        "words" => Ok(words.join("\n").into_bytes()),
        _ => return None,
    };
    Some(answer)
}

/// `call ABI NUMBER [ARGUMENT…]`: the result.
fn call(words: &[&str]) -> Result<Vec<u8>> {
    let wrong = || Error::from_raw_os_error(22);
    let (abi, numbers) = words.split_first().ok_or_else(wrong)?;
    let mut values = [0; 7];
    for (value, word) in values.iter_mut().zip(numbers) {
        let digits = word.strip_prefix("0x").map(|digits| i64::from_str_radix(digits, 16));
        *value = digits.unwrap_or_else(|| word.parse()).map_err(|_| wrong())?;
    }
    let [number, arguments @ ..] = values;
    system::call(abi, number, arguments).map(|result| result.to_string().into_bytes())
}

/// A file without its last newline.
fn read(path: &str) -> Result<Vec<u8>> {
    let mut bytes = fs::read(path)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(bytes)
}

/// Values of /proc/self/status, one space between all words.
fn status(keys: &[&str]) -> Result<Vec<u8>> {
    let text = fs::read_to_string("/proc/self/status")?;
    let mut words = Vec::new();
    for key in keys {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        words.extend(value.ok_or_else(|| Error::from_raw_os_error(2))?.split_whitespace());
    }
    Ok(words.join(" ").into_bytes())
}

/// `NUMBER TARGET` of every descriptor but the one that reads the directory.
fn descriptors() -> Result<Vec<u8>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        numbers.extend(entry?.file_name().to_string_lossy().parse::<u32>());
    }
    numbers.sort_unstable();
    let mut lines = Vec::new();
    for number in numbers {
        // The directory is closed by now.
        if let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) {
            lines.push(format!("{number} {}", target.display()));
        }
    }
    Ok(lines.join("\n").into_bytes())
}

/// `NAME:[INODE]` of every namespace.
fn namespaces() -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let target = fs::read_link(format!("/proc/self/ns/{name}"))?;
        lines.push(target.into_os_string().to_string_lossy().into_owned());
    }
    Ok(lines.join("\n").into_bytes())
}

/// pid, parent, process group, session, number of the terminal.
fn ids() -> Result<Vec<u8>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    let words: Vec<&str> = after.split(' ').skip(1).take(4).collect();
    Ok(format!("{} {}", std::process::id(), words.join(" ")).into_bytes())
}

/// `ROWS COLUMNS` of each standard stream, or `no`.
fn terminal() -> Result<Vec<u8>> {
    let mut text = String::new();
    for fd in 0..3 {
        let size = system::terminal_size(fd);
        let size = size.map_or("no".into(), |(rows, columns)| format!("{rows} {columns}"));
        let _ = writeln!(text, "{fd} {size}");
    }
    Ok(text.trim_end().into())
}

/// `NAME up|down` of every interface.
fn interfaces() -> Result<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let text = fs::read_to_string("/proc/self/net/dev")?;
    let mut lines = Vec::new();
    for line in text.lines().skip(2) {
        let name = line.split(':').next().unwrap_or_default().trim();
        let flags = system::interface_flags(socket.as_raw_fd(), name.as_bytes())?;
        lines.push(format!("{name} {}", if flags & 1 == 0 { "down" } else { "up" }));
    }
    lines.sort();
    Ok(lines.join("\n").into_bytes())
}

/// How many processes have ended and are not reaped.
fn zombies() -> Result<Vec<u8>> {
    let mut count = 0;
    for entry in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
        count +=
            usize::from(stat.rsplit_once(") ").is_some_and(|(_, after)| after.starts_with('Z')));
    }
    Ok(count.to_string().into_bytes())
}

/// `KIND MODE UID GID`; devices with their numbers, files with their size.
fn stat(path: &str) -> Result<Vec<u8>> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let device = metadata.rdev();
    let kind = if kind.is_dir() {
        "directory".into()
    } else if kind.is_symlink() {
        "link".into()
    } else if kind.is_char_device() {
        format!("character {}:{}", (device >> 8) & 0xfff, device & 0xff)
    } else if kind.is_block_device() {
        format!("block {}:{}", (device >> 8) & 0xfff, device & 0xff)
    } else {
        format!("file {}", metadata.len())
    };
    let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    Ok(format!("{kind} {mode:o} {uid} {gid}").into_bytes())
}

/// Names in a directory, sorted.
fn list(path: &str) -> Result<Vec<u8>> {
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name());
    }
    names.sort();
    let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    Ok(names.join(&b'\n'))
}
