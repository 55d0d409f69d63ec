//! `ctrun wait`.

use clap::Args;
use libctr::Exit;
use serde::Serialize;

use super::for_each;
use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;

/// Wait until containers have ended, and print their exit codes
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// One line of JSON.
#[derive(Serialize)]
struct Ended<'a> {
    id: &'a str,
    /// What `ctrun run` would have ended with.
    exit_code: u8,
    exit: Exit,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let runtime = global.runtime()?;
    for_each(global, &arguments.containers, |name| {
        let container = runtime.container(name)?;
        let exit = container.wait(None)?.unwrap_or_else(Exit::lost);
        let exit_code = ExitStatus::from(&exit).code();
        if global.is_json() {
            output::json_line(&Ended { id: container.id(), exit_code, exit })
        } else {
            output::line(exit_code)
        }
    })
}
