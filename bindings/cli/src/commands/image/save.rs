//! `ctrun image save`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use libctr::image::{ArchiveFormat, Store};
use libctr::{Error, Stage};

use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::{Failure, Result};

/// Write images into an archive
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Form of the archive: oci keeps all digests, docker is what every
    /// docker load reads
    #[arg(long, value_enum, default_value = "oci")]
    archive: Archive,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Archive {
    Oci,
    Docker,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let runtime = global.runtime()?;
    let store = runtime.images()?;
    match &arguments.output {
        Some(path) => to_file(store, arguments, path)?,
        None if stdout().is_terminal() => {
            return Err(Error::invalid(Stage::Image, "an archive is not written to a terminal")
                .with_hint("use --output FILE, or > to write to one")
                .into());
        }
        None => to_stdout(store, arguments)?,
    }
    Ok(ExitStatus::Success)
}

fn save(store: &Store, arguments: &Arguments, writer: &mut dyn Write) -> libctr::Result<()> {
    let names: Vec<&str> = arguments.images.iter().map(String::as_str).collect();
    let format = match arguments.archive {
        Archive::Oci => ArchiveFormat::Oci,
        Archive::Docker => ArchiveFormat::Docker,
    };
    store.save(&names, format, writer)
}

fn to_stdout(store: &Store, arguments: &Arguments) -> Result {
    let mut writer = BufWriter::new(stdout().lock());
    match save(store, arguments, &mut writer) {
        Err(error) if error.errno() == Some(nix::libc::EPIPE) => Err(Failure::Closed),
        other => Ok(other?),
    }
}

/// What is at the path stays there until the new archive is complete.
fn to_file(store: &Store, arguments: &Arguments, path: &Path) -> Result {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    let failed = |call: &str, error| Error::io(Stage::Image, format!("{call}({partial:?})"), error);
    let file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&partial)
        .map_err(|error| failed("open", error))?;
    let written = save(store, arguments, &mut BufWriter::new(file)).and_then(|()| {
        fs::rename(&partial, path)
            .map_err(|error| Error::io(Stage::Image, format!("rename(…, {path:?})"), error))
    });
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    Ok(written?)
}
