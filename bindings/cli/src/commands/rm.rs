//! `ctrun rm`.

use clap::Args;
use libctr::ErrorKind;

use super::for_each;
use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;

/// Remove containers with all they have written
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Kill those that run first; one that does not exist is no failure
    #[arg(short, long)]
    force: bool,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let runtime = global.runtime()?;
    for_each(global, &arguments.containers, |name| {
        let removed = runtime.container(name).and_then(|found| found.remove(arguments.force));
        match removed {
            Err(error) if arguments.force && error.kind() == ErrorKind::NotFound => Ok(()),
            other => {
                other?;
                output::line(name)
            }
        }
    })
}
