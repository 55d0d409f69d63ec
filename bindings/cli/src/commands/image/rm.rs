//! `ctrun image rm`.

use clap::Args;

use super::removed::show;
use crate::arguments::Global;
use crate::commands::for_each;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;

/// Take names from images; an image goes with its last name
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Remove an image given by its id with all its names
    #[arg(short, long)]
    force: bool,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let runtime = global.runtime()?;
    let store = runtime.images()?;
    for_each(global, &arguments.images, |name| {
        let used = runtime.layers_in_use()?;
        let removed = store.remove(name, arguments.force, &|layer| used.contains(layer))?;
        if global.is_json() { output::json_line(&removed) } else { show(&removed) }
    })
}
