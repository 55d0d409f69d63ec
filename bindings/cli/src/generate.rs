//! Shell completions and man pages, made from the argument definitions.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use libctr::{Error, Stage};

use crate::arguments::Cli;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;

/// Print the completion script of a shell
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the man pages into a directory
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// A directory; it is made where missing
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directory: PathBuf,
}

pub(crate) fn completions(arguments: &Completions) -> Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "ctrun", &mut script);
    output::bytes(&script)?;
    Ok(ExitStatus::Success)
}

pub(crate) fn man(arguments: &Man) -> Result<ExitStatus> {
    let directory = &arguments.directory;
    let failed =
        |call: &str, error| Error::io(Stage::State, format!("{call}({directory:?})"), error);
    std::fs::create_dir_all(directory).map_err(|error| failed("mkdir", error))?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(|error| failed("write", error))?;
    Ok(ExitStatus::Success)
}
