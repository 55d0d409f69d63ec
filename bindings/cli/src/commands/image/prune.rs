//! `ctrun image prune`.

use std::io::{IsTerminal, stdin};

use clap::Args;

use super::removed::show;
use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::quantity::bytes;

/// Remove images without a name, and what no image needs any more
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Also images that no container uses
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    if !arguments.force && stdin().is_terminal() && !is_wanted(arguments)? {
        return Ok(ExitStatus::Success);
    }
    let runtime = global.runtime()?;
    let used = runtime.layers_in_use()?;
    let removed = runtime.images()?.prune(arguments.all, &|layer| used.contains(layer))?;
    if global.is_json() {
        output::json(&removed)?;
    } else {
        show(&removed)?;
        output::line(format_args!("Total reclaimed space: {}", bytes(removed.bytes)))?;
    }
    Ok(ExitStatus::Success)
}

/// Asks the user at the terminal.
fn is_wanted(arguments: &Arguments) -> Result<bool> {
    let what = if arguments.all { "that no container uses" } else { "without a name" };
    output::error_bytes(format!("Remove all images {what}? [y/N] ").as_bytes())?;
    let mut answer = String::new();
    stdin()
        .read_line(&mut answer)
        .map_err(|error| libctr::Error::io(libctr::Stage::Image, "read(0)", error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
