//! Why a command ended early, and how the user is told.
//!
//! For people: `ctrun: <what failed>` and the hint on a line of its own. With
//! `--format json` one object on standard error with `kind`, `stage`, `errno`,
//! `message` and `hint`. Programs that look for words find those that container
//! engines write: "does not exist", "not running", "executable file not
//! found", "permission denied".

use clap::error::ErrorKind as UsageKind;
use libctr::{Error, ErrorKind, Stage};
use nix::libc::EACCES;
use serde_json::json;

use crate::arguments::Format;
use crate::exit::ExitStatus;
use crate::output;

/// The result of a command or a part of it.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something failed.
    Error(Error),
    /// Whoever reads the output has gone away.
    Closed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

impl Failure {
    /// Tells the user and says how the process ends.
    pub(crate) fn report(&self, format: Format) -> ExitStatus {
        match self {
            Failure::Closed => ExitStatus::Success,
            Failure::Error(error) => report(error, format),
        }
    }
}

/// Tells the user about one error and says how the process ends.
pub(crate) fn report(error: &Error, format: Format) -> ExitStatus {
    output::tell(match format {
        Format::Json => object(error),
        Format::Table => sentence(error),
    });
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        log::debug!("caused by: {cause}");
        source = cause.source();
    }
    error.into()
}

fn sentence(error: &Error) -> String {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    let text = error.to_string();
    let text = text.strip_suffix(&hint).unwrap_or(&text);
    let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("ctrun: {}{text}{hint}", words(error))
}

fn object(error: &Error) -> String {
    json!({
        "kind": error.kind().as_str(),
        "stage": error.stage().as_str(),
        "errno": error.errno(),
        "message": format!("{}{}", words(error), error.message()),
        "hint": error.hint(),
    })
    .to_string()
}

/// What callers of container engines look for.
fn words(error: &Error) -> &'static str {
    match (error.kind(), error.errno()) {
        (ErrorKind::ProgramNotFound, _) => "executable file not found: ",
        (ErrorKind::ProgramNotExecutable, Some(EACCES)) => "permission denied: ",
        (ErrorKind::ProgramNotExecutable, _) => "not executable: ",
        _ => "",
    }
}

/// Tells the user what is wrong with the arguments, or what was asked for:
/// help and version.
pub(crate) fn usage(error: &clap::Error, format: Format) -> ExitStatus {
    let text = error.render();
    match error.kind() {
        UsageKind::DisplayHelp | UsageKind::DisplayVersion => {
            // To a terminal with its colours.
            return match error.print() {
                Ok(()) => ExitStatus::Success,
                Err(_) => ExitStatus::Failure,
            };
        }
        UsageKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            return ExitStatus::Failure;
        }
        _ => {}
    }
    let text = text.to_string();
    let text = text.trim_end().trim_start_matches("error: ");
    match format {
        Format::Table => output::tell(format_args!("ctrun: {text}")),
        Format::Json => {
            let (message, hint) = text.split_once("\n\n").unwrap_or((text, ""));
            let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
            let error = Error::invalid(Stage::Spec, message);
            let hint = hint.split_whitespace().collect::<Vec<_>>().join(" ");
            report(&if hint.is_empty() { error } else { error.with_hint(hint) }, format);
        }
    }
    ExitStatus::Failure
}

/// An option whose value is wrong in a way that the parser cannot see.
pub(crate) fn wrong(option: &str, message: impl std::fmt::Display) -> Error {
    Error::invalid(Stage::Spec, format!("{option}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::{object, sentence};
    use libctr::{Error, ErrorKind, Stage};
    use nix::errno::Errno;

    #[test]
    fn hint_stands_on_its_own_line() {
        let error = Error::sys(Stage::Cgroup, "mkdir(\"/x\")", Errno::EACCES).with_hint("be root");
        assert_eq!(
            sentence(&error),
            "ctrun: cgroup: mkdir(\"/x\"): EACCES (Permission denied)\nhint: be root"
        );
        let error = Error::invalid(Stage::Spec, "name: too long");
        assert_eq!(sentence(&error), "ctrun: spec: name: too long");
    }

    #[test]
    fn missing_program_has_the_words_that_engines_look_for() {
        let error = Error::sys(Stage::Exec, "execve(\"/x\")", Errno::ENOENT)
            .with_kind(ErrorKind::ProgramNotFound);
        assert_eq!(
            sentence(&error),
            "ctrun: executable file not found: exec: execve(\"/x\"): ENOENT (No such file or directory)"
        );
    }

    #[test]
    fn object_has_every_key() {
        let error = Error::new(Stage::State, ErrorKind::NotFound, "container \"x\" does not exist");
        assert_eq!(
            object(&error),
            r#"{"errno":null,"hint":null,"kind":"not_found","message":"container \"x\" does not exist","stage":"state"}"#
        );
    }
}
