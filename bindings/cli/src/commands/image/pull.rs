//! `ctrun image pull`.

use clap::Args;
use libctr::image::Reference;
use libctr::{Error, ErrorKind, Stage};

use crate::exit::ExitStatus;
use crate::failure::Result;

/// Fetch an image from its registry (not supported by this version)
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    name: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitStatus> {
    let name = Reference::parse(&arguments.name)?;
    let text = format!("pulling {name} is not supported by this version");
    Err(Error::new(Stage::Image, ErrorKind::Unsupported, text)
        .with_hint("save it with another tool and use: ctrun image load FILE")
        .into())
}
