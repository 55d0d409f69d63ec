//! What the probe can be told to do.

use std::fs::{self, OpenOptions};
use std::hint::black_box;
use std::io::{Error, Read, Result, Write, copy, stdin, stdout};
use std::thread::sleep;
use std::time::Duration;

use crate::system::{self, SIGKILL};

/// Does one thing.
pub(crate) fn act(name: &str, words: &[&str]) -> Result<()> {
    let word = words.first().copied().unwrap_or_default();
    let number = || word.parse::<u64>().map_err(|_| Error::from_raw_os_error(22));
    let signal = || word.parse::<i32>().map_err(|_| Error::from_raw_os_error(22));
    match name {
        "say" => writeln!(stdout(), "{}", words.join(" ")),
        "allocate" => number().map(allocate),
        "fork" => number().and_then(fork),
        "orphans" => number().and_then(orphans),
        "daemon" => daemon(words),
        "bomb" => bomb(),
        "child" => child(words),
        "oom_child" => number().and_then(oom_child),
        "ignore" => signal().map(system::ignore),
        "raise" => {
            system::default(signal()?);
            system::kill(own_pid(), signal()?)
        }
        "kill" => system::kill(signal()?, SIGKILL),
        "setuid" => system::setuid(word.parse().map_err(|_| Error::from_raw_os_error(22))?),
        "exit" => exit(signal()?),
        "burn" => number().map(burn),
        "sleep" => number().map(|ms| sleep(Duration::from_millis(ms))),
        "forever" => loop {
            sleep(Duration::from_secs(3600));
        },
        "output" => number().and_then(output),
        "echo" => copy(&mut stdin(), &mut stdout()).map(drop),
        "line" => stdin().read(&mut [0]).map(drop),
        "write" => write(word, words.get(1..).unwrap_or_default()),
        "remove" => fs::remove_file(word),
        "mkdir" => fs::create_dir(word),
        "fill" => fill(word),
        "spy" => number().and_then(crate::spy::on_joining),
        "grab" => number().and_then(crate::spy::on_programs),
        "stop" => system::kill(own_pid(), 19),
        "open" => open(word, words.get(1).copied().unwrap_or_default()),
        "mknod" => node(words),
        _ => Err(Error::from_raw_os_error(38)),
    }
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

#[expect(clippy::exit, reason = "a program's own end is what is tested")]
fn exit(code: i32) -> Result<()> {
    std::process::exit(code)
}

/// Takes so many MiB for good, every page of it written to.
fn allocate(mib: u64) {
    for _ in 0..mib {
        let block = vec![1_u8; 1 << 20];
        std::mem::forget(black_box(block));
    }
}

/// So many children that wait for ever; says how many there are.
fn fork(count: u64) -> Result<()> {
    let mut made = 0;
    let mut result = Ok(());
    for _ in 0..count {
        match system::fork() {
            Ok(None) => act("forever", &[])?,
            Ok(Some(_)) => made += 1,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    writeln!(stdout(), "{made}")?;
    result
}

/// So many grandchildren that end at once and whose parents have gone before.
fn orphans(count: u64) -> Result<()> {
    for _ in 0..count {
        match system::fork()? {
            Some(pid) => drop(system::wait(pid)?),
            None => {
                if system::fork()?.is_none() {
                    sleep(Duration::from_millis(20));
                }
                exit(0)?;
            }
        }
    }
    Ok(())
}

/// A daemon in a session of its own: it ignores SIGTERM, SIGHUP and SIGINT,
/// does what it is told and waits for ever.
fn daemon(words: &[&str]) -> Result<()> {
    match system::fork()? {
        Some(pid) => drop(system::wait(pid)?),
        None => {
            system::setsid()?;
            if system::fork()?.is_some() {
                exit(0)?;
            }
            for signal in [1, 2, 15] {
                system::ignore(signal);
            }
            if let Some((name, words)) = words.split_first() {
                act(name, words)?;
            }
            act("forever", &[])?;
        }
    }
    Ok(())
}

/// Every process makes others as long as it can.
fn bomb() -> Result<()> {
    writeln!(stdout(), "bomb")?;
    stdout().flush()?;
    loop {
        if system::fork().is_err() {
            sleep(Duration::from_millis(1));
        }
    }
}

/// A child does what it is told; says how it ended.
fn child(words: &[&str]) -> Result<()> {
    match system::fork()? {
        Some(pid) => writeln!(stdout(), "child {}", system::wait(pid)?),
        None => {
            if let Some((name, words)) = words.split_first() {
                match crate::answers::answer(name, words) {
                    Some(answer) => drop(answer),
                    None => drop(act(name, words)),
                }
            }
            exit(0)
        }
    }
}

/// A child takes so many MiB; says how it ended.
fn oom_child(mib: u64) -> Result<()> {
    match system::fork()? {
        Some(pid) => writeln!(stdout(), "child {}", system::wait(pid)?),
        None => {
            // The kernel shall choose the child, however small the parent is.
            fs::write("/proc/self/oom_score_adj", "1000")?;
            allocate(mib);
            exit(0)
        }
    }
}

/// Uses so many milliseconds of processor time.
fn burn(ms: u64) {
    let end = system::cpu_time() + Duration::from_millis(ms);
    let mut value = 0_u64;
    while system::cpu_time() < end {
        for step in 0..10_000 {
            value = black_box(value.wrapping_mul(31).wrapping_add(step));
        }
    }
}

/// So many bytes: the digits 0 to 9 again and again.
fn output(bytes: u64) -> Result<()> {
    let mut out = stdout().lock();
    let block: Vec<u8> = (b'0'..=b'9').cycle().take(10_000).collect();
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    while left > 0 {
        let chunk = block.get(..left.min(block.len())).unwrap_or(&block);
        out.write_all(chunk)?;
        left -= chunk.len();
    }
    out.flush()
}

fn write(path: &str, words: &[&str]) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(words.join(" ").as_bytes())
}

/// Opens a file for `r`, `w` or `rw` and does nothing with it.
fn open(path: &str, access: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.read(access.contains('r')).write(access.contains('w')).open(path).map(drop)
}

/// `PATH c|b MAJOR MINOR`
fn node(words: &[&str]) -> Result<()> {
    let [path, kind, major, minor] = words else { return Err(Error::from_raw_os_error(22)) };
    let number = |text: &str| text.parse().map_err(|_| Error::from_raw_os_error(22));
    system::mknod(path, *kind == "b", number(major)?, number(minor)?)
}

/// Writes to a file until there is no room; says how many KiB there were.
fn fill(path: &str) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut written = 0;
    let block = [1_u8; 1024];
    let error = loop {
        match file.write_all(&block) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    writeln!(stdout(), "{written}")?;
    Err(error)
}
