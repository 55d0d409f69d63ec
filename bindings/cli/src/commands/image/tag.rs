//! `ctrun image tag`.

use clap::Args;

use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;

/// Give an image another name
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name or id of the image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Its new name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    global.runtime()?.images()?.tag(&arguments.image, &arguments.name)?;
    Ok(ExitStatus::Success)
}
