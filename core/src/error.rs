//! The one error type of the library.
//!
//! Runs in the host. Every fallible function of this crate returns [`Error`]:
//! what was attempted (the message), at which step of the pipeline
//! ([`Stage`]), which class of failure it is ([`ErrorKind`]), the kernel's
//! errno where one was involved, and a hint where something is known to help.
//!
//! Text style: lower case, no full stop, paths quoted, the call with its
//! arguments and the errno's name, for example
//! `filesystem: mount("proc", "/proc", "proc", nosuid|nodev): EPERM`.

use std::error::Error as StdError;
use std::fmt;

use nix::errno::Errno;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The class of a failure: what a program branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input is wrong: an unknown key, a bad value, a bad archive.
    InvalidInput,
    /// The named image, container, user or file does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The object is in use, for example a container that still runs.
    Busy,
    /// The kernel or the file system refuses permission.
    Denied,
    /// This kernel, machine or build cannot do it.
    Unsupported,
    /// The program does not exist in the container (shells say 127).
    ProgramNotFound,
    /// The program exists but cannot be executed (shells say 126).
    ProgramNotExecutable,
    /// Setting the container up failed for another reason of the system.
    SetupFailed,
    /// The time given for the call ran out.
    Timeout,
    /// The caller cancelled the call.
    Cancelled,
    /// A defect of libctr.
    Internal,
}

impl ErrorKind {
    /// The kind as a word, as it appears in JSON: `not_found`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::InvalidInput => "invalid_input",
            ErrorKind::NotFound => "not_found",
            ErrorKind::AlreadyExists => "already_exists",
            ErrorKind::Busy => "busy",
            ErrorKind::Denied => "denied",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::ProgramNotFound => "program_not_found",
            ErrorKind::ProgramNotExecutable => "program_not_executable",
            ErrorKind::SetupFailed => "setup_failed",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Internal => "internal",
        }
    }

    fn of_errno(errno: Errno) -> ErrorKind {
        match errno {
            Errno::ENOENT | Errno::ESRCH => ErrorKind::NotFound,
            Errno::EEXIST | Errno::ENOTEMPTY => ErrorKind::AlreadyExists,
            Errno::EBUSY | Errno::ETXTBSY => ErrorKind::Busy,
            Errno::EPERM | Errno::EACCES | Errno::EROFS => ErrorKind::Denied,
            Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::ENODEV => ErrorKind::Unsupported,
            Errno::ETIMEDOUT => ErrorKind::Timeout,
            _ => ErrorKind::SetupFailed,
        }
    }
}

/// The step of the pipeline that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Reading and checking the `RunSpec` document.
    Spec,
    /// Finding, loading, unpacking or saving an image.
    Image,
    /// Building the overlay sandbox.
    Rootfs,
    /// Working out argv, environment, user and working directory.
    Process,
    /// Starting the helper and the new process.
    Launch,
    /// Host name, hosts, resolv.conf, interfaces.
    Network,
    /// Mounts, devices, masks, pivot_root.
    Filesystem,
    /// Groups, ids, capabilities, no_new_privs, seccomp.
    User,
    /// The working directory inside.
    Chdir,
    /// Standard streams, limits, `execve`.
    Exec,
    /// Creating, limiting or reading the cgroup.
    Cgroup,
    /// Waiting for the end and reading the exit record.
    Wait,
    /// The container's directory on disk.
    State,
}

impl Stage {
    /// The stage as the word used in messages and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Spec => "spec",
            Stage::Image => "image",
            Stage::Rootfs => "rootfs",
            Stage::Process => "process",
            Stage::Launch => "launch",
            Stage::Network => "network",
            Stage::Filesystem => "filesystem",
            Stage::User => "user",
            Stage::Chdir => "chdir",
            Stage::Exec => "exec",
            Stage::Cgroup => "cgroup",
            Stage::Wait => "wait",
            Stage::State => "state",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong, where, and what would help.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    stage: Stage,
    errno: Option<Errno>,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a kernel error behind it.
    pub fn new(stage: Stage, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            stage,
            errno: None,
            message: bounded(message.into()),
            hint: None,
            source: None,
        }))
    }

    /// Wrong input of the caller.
    pub fn invalid(stage: Stage, message: impl Into<String>) -> Error {
        Error::new(stage, ErrorKind::InvalidInput, message)
    }

    /// A failed system call: `call` is the call with its arguments. The kind
    /// follows from the errno; [`Error::with_kind`] overrides it.
    pub fn sys(stage: Stage, call: impl Into<String>, errno: Errno) -> Error {
        let mut error = Error::new(stage, ErrorKind::of_errno(errno), call);
        error.0.errno = Some(errno);
        error
    }

    /// A failed operation of the standard library, as [`Error::sys`].
    pub fn io(stage: Stage, call: impl Into<String>, error: std::io::Error) -> Error {
        match error.raw_os_error() {
            Some(code) => Error::sys(stage, call, Errno::from_raw(code)),
            None => {
                let kind = match error.kind() {
                    std::io::ErrorKind::InvalidData
                    | std::io::ErrorKind::UnexpectedEof
                    | std::io::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
                    _ => ErrorKind::SetupFailed,
                };
                Error::new(stage, kind, format!("{}: {error}", call.into())).with_source(error)
            }
        }
    }

    /// The same error with another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Error {
        self.0.kind = kind;
        self
    }

    /// The same error with the errno that is behind it.
    #[must_use]
    pub fn with_errno(mut self, errno: Errno) -> Error {
        self.0.errno = Some(errno);
        self
    }

    /// The same error with what would help: a sysctl, a package, an option.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(bounded(hint.into()));
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.0.source = Some(Box::new(source));
        self
    }

    /// The class of the failure. C: `ctr_error_code`.
    #[doc(alias = "ctr_error_code")]
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The step of the pipeline that failed. C: `ctr_error_stage`.
    #[doc(alias = "ctr_error_stage")]
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// The kernel's error number, where one was involved. C: `ctr_error_errno`.
    #[doc(alias = "ctr_error_errno")]
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.errno.map(|errno| errno as i32)
    }

    /// What was attempted, without stage, errno and hint.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What would help, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

/// Cuts what would fill a screen or a log: values in messages come from
/// documents and images. Two paths of any length are shown whole.
fn bounded(mut text: String) -> String {
    const LONGEST: usize = 9 << 10;
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.stage, self.0.message)?;
        if let Some(errno) = self.0.errno {
            write!(f, ": {errno:?} ({})", errno.desc())?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| {
            let source: &(dyn StdError + 'static) = source.as_ref();
            source
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorKind, Stage};
    use nix::errno::Errno;

    #[test]
    fn display_names_stage_call_errno_and_hint() {
        let error = Error::sys(Stage::Filesystem, "mount(\"proc\", \"/proc\")", Errno::EPERM)
            .with_hint("needs CAP_SYS_ADMIN");
        assert_eq!(
            error.to_string(),
            "filesystem: mount(\"proc\", \"/proc\"): EPERM (Operation not permitted); needs CAP_SYS_ADMIN"
        );
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.errno(), Some(1));
    }

    #[test]
    fn message_and_hint_are_bounded() {
        let long = "é".repeat(1 << 20);
        let error = Error::invalid(Stage::Spec, &long).with_hint(&long);
        assert!(error.message().len() < 10_000 && error.message().ends_with("é…"));
        assert!(error.to_string().len() < 20_000);
        let short = "x".repeat(9000);
        assert_eq!(Error::invalid(Stage::Spec, &short).message(), short);
    }
}
