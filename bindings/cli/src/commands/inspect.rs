//! `ctrun inspect`.

use clap::Args;

use super::for_each;
use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;

/// Show all that is known of containers, as a JSON array
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let runtime = global.runtime()?;
    let mut found = Vec::new();
    let status = for_each(global, &arguments.containers, |name| {
        found.push(runtime.container(name)?.info()?);
        Ok(())
    })?;
    output::json(&found)?;
    Ok(status)
}
