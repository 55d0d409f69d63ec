//! The one place that writes to standard output and standard error.
//!
//! Each call locks its handle, writes everything and flushes, so that lines
//! are whole and in order. A reader that has gone away (`ctrun logs … | head`)
//! is no failure: it ends the command quietly, as [`Failure::Closed`].

pub(crate) mod diagnostics;
pub(crate) mod progress;
pub(crate) mod table;

use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};

use libctr::{Error, Stage};
use serde::Serialize;

use crate::failure::{Failure, Result};

/// Writes bytes to standard output.
pub(crate) fn bytes(bytes: &[u8]) -> Result {
    let mut stdout = stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| failed(1, error))
}

/// Writes bytes to standard error.
pub(crate) fn error_bytes(bytes: &[u8]) -> Result {
    let mut stderr = stderr().lock();
    stderr.write_all(bytes).and_then(|()| stderr.flush()).map_err(|error| failed(2, error))
}

/// Writes a line to standard output.
pub(crate) fn line(text: impl Display) -> Result {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes a value as one JSON document, for people to read as well.
pub(crate) fn json(value: &impl Serialize) -> Result {
    line(serde_json::to_string_pretty(value).map_err(not_json)?)
}

/// Writes a value as one line of JSON, where more lines will follow.
pub(crate) fn json_line(value: &impl Serialize) -> Result {
    line(serde_json::to_string(value).map_err(not_json)?)
}

/// Tells the user something on standard error. Where nobody can read it,
/// nobody can be told so.
pub(crate) fn tell(text: impl Display) {
    let _ = error_bytes(format!("{text}\n").as_bytes());
}

fn failed(number: i32, error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::Closed,
        _ => Error::io(Stage::Wait, format!("write({number})"), error).into(),
    }
}

fn not_json(error: serde_json::Error) -> Failure {
    Error::new(Stage::State, libctr::ErrorKind::Internal, "cannot be written as JSON")
        .with_source(error)
        .into()
}
