//! `ctrun image inspect`.

use clap::Args;

use crate::arguments::Global;
use crate::commands::for_each;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;

/// Show all that is known of images, as a JSON array
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let runtime = global.runtime()?;
    let store = runtime.images()?;
    let mut found = Vec::new();
    let status = for_each(global, &arguments.images, |name| {
        found.push(store.inspect(name)?);
        Ok(())
    })?;
    output::json(&found)?;
    Ok(status)
}
