//! The program's standard streams: what the caller gives, what is made for it.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::error::{Error, Result, Stage};
use crate::sys;

/// One standard stream of the program.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The null device.
    #[default]
    Null,
    /// The host's own stream, or the null device where the host has closed it.
    Inherit,
    /// This descriptor.
    Fd(OwnedFd),
    /// A new pipe; its other end is in the [`crate::Container`].
    Pipe,
    /// Standard output and error: the container's log, kept by the helper.
    Log,
}

/// The three streams, ready for the helper.
#[derive(Debug)]
pub(super) struct Streams {
    /// What the program gets as 0, 1 and 2.
    pub(super) program: [OwnedFd; 3],
    /// The caller's ends of pipes.
    pub(super) caller: [Option<OwnedFd>; 3],
    /// The helper's ends of the log's pipes: standard output, standard error.
    pub(super) log: [Option<OwnedFd>; 2],
}

/// Opens what the streams need.
pub(super) fn open(streams: [Stdio; 3]) -> Result<Streams> {
    let mut caller = [None, None, None];
    let mut log = [None, None];
    let mut program = Vec::with_capacity(3);
    for (number, stream) in streams.into_iter().enumerate() {
        program.push(match stream {
            Stdio::Null => null()?,
            Stdio::Fd(fd) => high(fd)?,
            Stdio::Inherit => inherit(number)?,
            Stdio::Pipe if number == 0 => {
                let (reader, writer) = pipe()?;
                caller[0] = Some(writer);
                reader
            }
            Stdio::Pipe => {
                let (reader, writer) = pipe()?;
                caller[number] = Some(reader);
                writer
            }
            Stdio::Log if number == 0 => {
                return Err(Error::invalid(Stage::Exec, "standard input cannot be the log"));
            }
            Stdio::Log => {
                let (reader, writer) = pipe()?;
                log[number - 1] = Some(reader);
                writer
            }
        });
    }
    let program =
        program.try_into().map_err(|_| Error::sys(Stage::Exec, "stdio", Errno::EINVAL))?;
    Ok(Streams { program, caller, log })
}

fn high(fd: OwnedFd) -> Result<OwnedFd> {
    sys::high(fd).map_err(|errno| Error::sys(Stage::Exec, "fcntl(F_DUPFD_CLOEXEC)", errno))
}

fn null() -> Result<OwnedFd> {
    let file: File = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| Error::io(Stage::Exec, "open(\"/dev/null\")", error))?;
    high(file.into())
}

fn inherit(number: usize) -> Result<OwnedFd> {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let stream: BorrowedFd<'_> = match number {
        0 => input.as_fd(),
        1 => output.as_fd(),
        _ => error.as_fd(),
    };
    match sys::dup(stream) {
        Err(Errno::EBADF) => null(),
        Err(errno) => {
            Err(Error::sys(Stage::Exec, format!("fcntl({number}, F_DUPFD_CLOEXEC)"), errno))
        }
        Ok(fd) => Ok(fd),
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)
        .map_err(|errno| Error::sys(Stage::Exec, "pipe2(O_CLOEXEC)", errno))?;
    Ok((high(reader)?, high(writer)?))
}
