//! What `ctrun` ends with.
//!
//! The program's own code is passed through. Codes of ours are those that
//! shells, container engines and timeout(1) use.

use std::process::ExitCode;

use libctr::{Error, ErrorKind, Exit, Outcome};

/// How `ctrun` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Everything was done.
    Success,
    /// A limit of time ended the program.
    Timeout,
    /// `ctrun` itself failed, or the arguments are wrong.
    Failure,
    /// The program exists but cannot be executed.
    NotExecutable,
    /// The program does not exist.
    NotFound,
    /// A signal ended the program; running out of memory counts as SIGKILL.
    Signal(i32),
    /// The program ended by itself.
    Program(i32),
}

impl ExitStatus {
    /// The number, 0 to 255.
    pub(crate) fn code(self) -> u8 {
        let code = match self {
            ExitStatus::Success => 0,
            ExitStatus::Timeout => 124,
            ExitStatus::Failure => 125,
            ExitStatus::NotExecutable => 126,
            ExitStatus::NotFound => 127,
            ExitStatus::Signal(signal) => 128 + signal,
            ExitStatus::Program(code) => code,
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }

    /// The worse of two results of one command.
    pub(crate) fn and(self, other: ExitStatus) -> ExitStatus {
        if self == ExitStatus::Success { other } else { self }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> ExitCode {
        ExitCode::from(status.code())
    }
}

impl From<&Error> for ExitStatus {
    fn from(error: &Error) -> ExitStatus {
        match error.kind() {
            ErrorKind::ProgramNotFound => ExitStatus::NotFound,
            ErrorKind::ProgramNotExecutable => ExitStatus::NotExecutable,
            _ => ExitStatus::Failure,
        }
    }
}

impl From<&Exit> for ExitStatus {
    fn from(exit: &Exit) -> ExitStatus {
        match (exit.outcome, exit.signal, exit.code) {
            (Outcome::WallTimeout | Outcome::CpuTimeout, _, _) => ExitStatus::Timeout,
            (_, Some(signal), _) => ExitStatus::Signal(signal),
            (_, None, Some(code)) => ExitStatus::Program(code),
            (_, None, None) => ExitStatus::Failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;
    use libctr::{Error, ErrorKind, Exit, Stage};

    fn of(record: &str) -> u8 {
        ExitStatus::from(&serde_json::from_str::<Exit>(record).unwrap()).code()
    }

    #[test]
    fn record_becomes_the_code_that_shells_expect() {
        assert_eq!(of(r#"{"outcome": "exited", "code": 0}"#), 0);
        assert_eq!(of(r#"{"outcome": "exited", "code": 255}"#), 255);
        assert_eq!(of(r#"{"outcome": "signaled", "signal": 15}"#), 143);
        assert_eq!(of(r#"{"outcome": "oom_killed", "signal": 9}"#), 137);
        assert_eq!(of(r#"{"outcome": "wall_timeout", "signal": 9}"#), 124);
        assert_eq!(of(r#"{"outcome": "cpu_timeout", "code": 3}"#), 124);
        assert_eq!(of(r#"{"outcome": "pids_limit", "code": 2}"#), 2);
        assert_eq!(of(r#"{"outcome": "lost"}"#), 125);
    }

    #[test]
    fn error_becomes_the_code_that_container_engines_use() {
        let of = |kind| ExitStatus::from(&Error::new(Stage::Exec, kind, "")).code();
        assert_eq!(of(ErrorKind::ProgramNotFound), 127);
        assert_eq!(of(ErrorKind::ProgramNotExecutable), 126);
        assert_eq!(of(ErrorKind::NotFound), 125);
        assert_eq!(of(ErrorKind::InvalidInput), 125);
    }

    #[test]
    fn first_failure_of_several_stays() {
        let (good, bad) = (ExitStatus::Success, ExitStatus::Failure);
        assert_eq!([good.and(good), good.and(bad), bad.and(good)], [good, bad, bad]);
    }
}
