//! `ctrun image load`.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use clap::Args;
use libctr::image::{LoadOptions, Source};
use libctr::{Error, Stage};

use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::output::progress::Bars;

/// Load images from an archive or an OCI layout directory
///
/// Docker and OCI archives, compressed or not, are told apart by looking;
/// docker-archive:, oci-archive: or oci: in front of the path says which it
/// must be. Without a path the archive is read from standard input.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// File or directory; - is standard input
    #[arg(short, long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    input: Option<PathBuf>,
    /// The same without an option
    #[arg(value_name = "PATH", conflicts_with = "input", value_hint = clap::ValueHint::AnyPath)]
    path: Option<PathBuf>,
    /// Name that the image gets instead of those in the archive
    #[arg(long)]
    name: Option<String>,
    /// Platform to choose, such as linux/arm64 [default: this machine's]
    #[arg(long)]
    platform: Option<String>,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let source = source(arguments.input.as_ref().or(arguments.path.as_ref()))?;
    let runtime = global.runtime()?;
    let bars = Bars::new(global);
    let report = |progress| bars.show(progress);
    let mut options = LoadOptions::default();
    options.name.clone_from(&arguments.name);
    options.platform.clone_from(&arguments.platform);
    options.progress = Some(&report);
    let loaded = runtime.images()?.load(source, &options);
    bars.clear();
    let loaded = loaded?;
    if global.is_json() {
        output::json(&loaded)?;
    } else {
        for image in &loaded {
            let names =
                if image.names.is_empty() { vec![image.id.clone()] } else { image.names.clone() };
            names.iter().try_for_each(|name| output::line(format_args!("Loaded image: {name}")))?;
        }
    }
    Ok(ExitStatus::Success)
}

/// A file, a directory, or standard input.
pub(super) fn source(path: Option<&PathBuf>) -> libctr::Result<Source> {
    match path {
        Some(path) if path.as_os_str() != "-" => Ok(Source::Path(path.clone())),
        _ if stdin().is_terminal() => {
            Err(Error::invalid(Stage::Image, "standard input is a terminal, expected an archive")
                .with_hint("name a file, or use < to read from one"))
        }
        _ => Ok(Source::Reader(Box::new(stdin()))),
    }
}
