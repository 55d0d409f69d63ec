//! `ctr_runtime_opts_t`, `ctr_run_opts_t`: what no document can carry.
//!
//! # Safety
//! The pointers inside follow the contract of the header. Descriptors are
//! duplicated before anything else happens; the caller's own stay open.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use libctr::spec::{ExecSpec, RunSpec, Text};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::error::Error;
use crate::input::{self, Versioned};

/// The null device.
pub const CTR_STDIO_NULL: u32 = 0;
/// The host's own stream of the same number.
pub const CTR_STDIO_INHERIT: u32 = 1;
/// A new pipe, whose other end `ctr_container_take_fd` gives.
pub const CTR_STDIO_PIPE: u32 = 2;
/// Output and error only: the container's log in the state directory.
pub const CTR_STDIO_LOG: u32 = 3;
/// The descriptor in `fd`. It is duplicated and stays the caller's.
pub const CTR_STDIO_FD: u32 = 4;

/// `ctr_run_opts_t.flags`: `cancel_fd` is set.
pub const CTR_RUN_CANCEL_FD: u64 = 1;

/// Where `ctr_runtime_open` finds its things. Set `size`, zero the rest.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RuntimeOptions {
    /// `sizeof(ctr_runtime_opts_t)`.
    pub size: usize,
    /// State of containers. NULL: `/run/libctr` as root, else
    /// `$XDG_RUNTIME_DIR/libctr`.
    pub run: *const c_char,
    /// Images and upper layers. NULL: `/var/lib/libctr` as root, else
    /// `$XDG_DATA_HOME/libctr`.
    pub data: *const c_char,
}

// SAFETY: repr(C), words only; NULL is allowed in each.
unsafe impl Versioned for RuntimeOptions {}

/// One standard stream of a program. Zero: the null device.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Stdio {
    /// One of `CTR_STDIO_...`.
    pub kind: u32,
    /// For `CTR_STDIO_FD` only.
    pub fd: i32,
}

/// What a run needs besides its document. Set `size`, zero the rest; zero is
/// always the default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// `sizeof(ctr_run_opts_t)`.
    pub size: usize,
    /// `CTR_RUN_...` together.
    pub flags: u64,
    /// Standard input of the program.
    pub input: Stdio,
    /// Standard output of the program.
    pub output: Stdio,
    /// Standard error of the program.
    pub error: Stdio,
    /// With `CTR_RUN_CANCEL_FD`: when it becomes readable the start is given
    /// up and undone, and `ctr_run` answers `CTR_E_CANCELLED`.
    pub cancel_fd: i32,
    /// Rows of the terminal if the document says `"tty": true`; 0 leaves the
    /// kernel's default.
    pub rows: u16,
    /// Columns of the terminal.
    pub columns: u16,
    /// Arguments, ending in NULL; they replace `args` of the document and may
    /// be any bytes. NULL: those of the document.
    pub argv: *const *const c_char,
    /// Variables as `NAME=value`, ending in NULL; they replace `env` of the
    /// document. NULL: those of the document.
    pub envp: *const *const c_char,
}

// SAFETY: repr(C), 64 bytes without padding on 64-bit machines (there is a
// test); numbers, and pointers that may be NULL.
unsafe impl Versioned for RunOptions {}

impl RuntimeOptions {
    /// # Safety
    /// `pointer` is NULL or a structure of the caller.
    pub(crate) unsafe fn read(
        pointer: *const RuntimeOptions,
    ) -> Result<libctr::RuntimeOptions, Error> {
        // SAFETY: the caller's promise.
        let options = unsafe { input::sized(pointer, "opts") }?;
        // SAFETY: NULL or a string.
        let run = unsafe { input::string(options.run) };
        // SAFETY: NULL or a string.
        let data = unsafe { input::string(options.data) };
        Ok(libctr::RuntimeOptions {
            run: run.map(path),
            data: data.map(path),
            ..libctr::RuntimeOptions::default()
        })
    }
}

fn path(text: &CStr) -> PathBuf {
    OsStr::from_bytes(text.to_bytes()).into()
}

/// The options of a run with descriptors of our own.
#[derive(Debug)]
pub(crate) struct Taken {
    streams: [libctr::Stdio; 3],
    cancel: Option<OwnedFd>,
    terminal: Option<(u16, u16)>,
}

impl Taken {
    pub(crate) fn as_options(&mut self) -> libctr::RunOptions<'_> {
        let [stdin, stdout, stderr] = std::mem::take(&mut self.streams);
        let cancel = self.cancel.as_ref().map(std::os::fd::AsFd::as_fd);
        libctr::RunOptions { stdin, stdout, stderr, cancel, terminal: self.terminal }
    }
}

/// A document that says which program runs, with which variables.
pub(crate) trait Program {
    fn set_args(&mut self, args: Vec<Text>);
    fn set_env(&mut self, env: BTreeMap<String, Option<Text>>);
}

impl Program for RunSpec {
    fn set_args(&mut self, args: Vec<Text>) {
        self.args = args;
    }

    fn set_env(&mut self, env: BTreeMap<String, Option<Text>>) {
        self.env = env;
    }
}

impl Program for ExecSpec {
    fn set_args(&mut self, args: Vec<Text>) {
        self.args = args;
    }

    fn set_env(&mut self, env: BTreeMap<String, Option<Text>>) {
        self.env = env;
    }
}

impl RunOptions {
    /// Reads the options; what they say of the program goes into the document.
    ///
    /// # Safety
    /// `pointer` is NULL or a structure of the caller.
    pub(crate) unsafe fn read(
        pointer: *const RunOptions,
        spec: &mut dyn Program,
    ) -> Result<Taken, Error> {
        // SAFETY: the caller's promise.
        let options = unsafe { input::sized(pointer, "opts") }?;
        if options.flags & !CTR_RUN_CANCEL_FD != 0 {
            return Err(Error::unsupported(format!(
                "opts->flags: unknown in {:#x}",
                options.flags
            )));
        }
        // SAFETY: NULL or a list of strings.
        if let Some(argv) = unsafe { input::strings(options.argv) } {
            spec.set_args(argv.into_iter().map(|text| bytes(text.to_bytes())).collect());
        }
        // SAFETY: NULL or a list of strings.
        if let Some(envp) = unsafe { input::strings(options.envp) } {
            spec.set_env(envp.into_iter().map(variable).collect::<Result<_, _>>()?);
        }
        let cancel = match options.flags & CTR_RUN_CANCEL_FD {
            0 => None,
            _ => Some(duplicate(options.cancel_fd, "cancel_fd")?),
        };
        let terminal = Some((options.rows, options.columns)).filter(|size| *size != (0, 0));
        let streams = [
            stream(options.input, "input")?,
            stream(options.output, "output")?,
            stream(options.error, "error")?,
        ];
        Ok(Taken { streams, cancel, terminal })
    }
}

fn stream(stdio: Stdio, name: &str) -> Result<libctr::Stdio, Error> {
    Ok(match stdio.kind {
        CTR_STDIO_NULL => libctr::Stdio::Null,
        CTR_STDIO_INHERIT => libctr::Stdio::Inherit,
        CTR_STDIO_PIPE => libctr::Stdio::Pipe,
        CTR_STDIO_LOG => libctr::Stdio::Log,
        CTR_STDIO_FD => libctr::Stdio::Fd(duplicate(stdio.fd, name)?),
        kind => return Err(Error::unsupported(format!("opts->{name}.kind: {kind} is unknown"))),
    })
}

/// A close-on-exec duplicate of a descriptor of the caller.
fn duplicate(fd: c_int, name: &str) -> Result<OwnedFd, Error> {
    if fd < 0 {
        return Err(Error::invalid(format!("opts->{name}: {fd} is no descriptor")));
    }
    // SAFETY: only a number to ask the kernel about, which refuses one that is
    // not open.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3)).map_err(|errno: Errno| {
        let call = format!("opts->{name}: fcntl({fd:?}, F_DUPFD_CLOEXEC)");
        let error = libctr::Error::sys(libctr::Stage::Exec, call, errno);
        Error::from(error.with_kind(libctr::ErrorKind::InvalidInput))
    })?;
    // SAFETY: made by the call just before.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn bytes(text: &[u8]) -> Text {
    OsStr::from_bytes(text).into()
}

/// `NAME=value`.
fn variable(text: &CStr) -> Result<(String, Option<Text>), Error> {
    let wrong = || Error::invalid(format!("opts->envp: expected NAME=value, found {text:?}"));
    let text = text.to_bytes();
    let at = text.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
    let (name, value) = (&text[..at], &text[at + 1..]);
    let name = std::str::from_utf8(name).map_err(|_| wrong())?;
    Ok((name.to_owned(), Some(bytes(value))))
}

#[cfg(test)]
mod tests {
    use super::{RunOptions, RuntimeOptions, Stdio};
    use std::mem::size_of;

    #[test]
    fn structures_have_no_padding() {
        assert_eq!(size_of::<Stdio>(), 8);
        assert_eq!(size_of::<RuntimeOptions>(), 3 * size_of::<usize>());
        assert_eq!(size_of::<RunOptions>(), 3 * size_of::<usize>() + 8 + 3 * 8 + 8);
    }
}
