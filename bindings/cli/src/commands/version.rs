//! `ctrun version`.

use std::sync::LazyLock;

use clap::Args;
use libctr::spec::RunSpec;
use serde_json::json;

use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;

/// The version with the word in front of it that other tools look for.
pub(crate) const NUMBER: &str = concat!("version ", env!("CARGO_PKG_VERSION"));

/// The commit, where whoever built this has said it.
const COMMIT: Option<&str> = option_env!("LIBCTR_COMMIT");

/// Show the version of ctrun and what it understands
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// Version, commit, and the version of `RunSpec` documents.
pub(crate) static TEXT: LazyLock<String> = LazyLock::new(|| {
    let commit = COMMIT.map(|commit| format!("commit: {commit}\n")).unwrap_or_default();
    format!("{NUMBER}\n{commit}runspec: {}", RunSpec::default().schema)
});

pub(crate) fn run(global: &Global, _arguments: &Arguments) -> Result<ExitStatus> {
    if global.is_json() {
        output::json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "commit": COMMIT,
            "runspec": RunSpec::default().schema,
        }))?;
    } else {
        output::line(format_args!("ctrun {}", *TEXT))?;
    }
    Ok(ExitStatus::Success)
}
