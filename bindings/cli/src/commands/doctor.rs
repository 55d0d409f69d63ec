//! `ctrun doctor`.

mod report;

use clap::Args;
use libctr::probe::Level;

use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;

/// Try what containers need here, and say what is missing and what changes it
#[derive(Debug, Args)]
#[command(after_help = "The exit code is 0 if containers can be run, 1 if not.")]
pub(crate) struct Arguments {}

pub(crate) fn run(global: &Global, _arguments: &Arguments) -> Result<ExitStatus> {
    let probe = libctr::probe(&global.options())?;
    if global.is_json() {
        output::json(&probe)?;
    } else {
        output::bytes(report::text(&probe, report::Marks::of_locale()).as_bytes())?;
    }
    Ok(match probe.summary().level {
        Level::Full | Level::WithoutLimits => ExitStatus::Success,
        _ => ExitStatus::Program(1),
    })
}
