//! What a process of a container tries on another that is just coming in.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Result, Write, stdout};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::system;

/// Name of a process that is still the library's own program.
const HELPER: &str = "libctr\n";

fn others() -> impl Iterator<Item = i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .filter(move |pid| *pid != own && *pid != 1)
}

fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

fn outcome<T>(result: &Result<T>) -> String {
    match result {
        Ok(_) => "done".into(),
        Err(error) => format!("error {}", error.raw_os_error().unwrap_or(-1)),
    }
}

/// For so many milliseconds: reads and seizes every process that is not yet a
/// program, and says what that gave, each thing once.
pub(crate) fn on_joining(ms: u64) -> Result<()> {
    writeln!(stdout(), "ready")?;
    let end = Instant::now() + Duration::from_millis(ms);
    let mut found = BTreeSet::new();
    while Instant::now() < end {
        for pid in others() {
            if name(pid) != HELPER {
                continue;
            }
            let mut seen = vec!["seen".to_owned()];
            match fs::read_dir(format!("/proc/{pid}/fd")) {
                Err(error) => seen.push(format!("list {}", outcome::<()>(&Err(error)))),
                Ok(entries) => {
                    for entry in entries.flatten() {
                        let target = fs::read_link(entry.path());
                        seen.push(match target {
                            Ok(target) => format!("fd {}", target.display()),
                            Err(error) => format!("fd {}", outcome::<()>(&Err(error))),
                        });
                    }
                }
            }
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let of = |key: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(key));
                line.unwrap_or_default().trim().to_owned()
            };
            seen.push(format!("caps {} {} {}", of("CapInh:"), of("CapEff:"), of("CapBnd:")));
            for path in ["root", "cwd", "exe", "mem", "environ"] {
                let path_of = format!("/proc/{pid}/{path}");
                let result = match path {
                    "mem" => File::open(path_of).map(drop),
                    "environ" => fs::read(path_of).map(drop),
                    _ => fs::read_link(path_of).map(drop),
                };
                seen.push(format!("{path} {}", outcome(&result)));
            }
            let seized = system::seize(pid);
            // What was seen of a program after its exec is its own.
            if name(pid) == HELPER {
                seen.push(format!("seize {}", outcome(&seized)));
                found.extend(seen);
            }
        }
    }
    for line in found {
        writeln!(stdout(), "{line}")?;
    }
    Ok(())
}

/// For so many milliseconds: opens the file that every new process executes
/// and tries to open it again for writing. Says device, inode and what came of
/// it, each once.
pub(crate) fn on_programs(ms: u64) -> Result<()> {
    writeln!(stdout(), "ready")?;
    let end = Instant::now() + Duration::from_millis(ms);
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    while Instant::now() < end {
        for pid in others() {
            let Ok(file) = File::open(format!("/proc/{pid}/exe")) else { continue };
            let metadata = file.metadata()?;
            if seen.insert((metadata.dev(), metadata.ino())) {
                files.push(file);
            }
        }
    }
    for file in files {
        let metadata = file.metadata()?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let target = fs::read_link(&path)?;
        let opened = OpenOptions::new().write(true).open(&path);
        let (dev, ino, result) = (metadata.dev(), metadata.ino(), outcome(&opened));
        writeln!(stdout(), "{dev}:{ino} {} {result}", target.display())?;
    }
    Ok(())
}
