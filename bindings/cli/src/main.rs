//! `ctrun`: containers on the command line, as one more client of `libctr`.
//!
//! Arguments → [`Cli`] → one file of [`commands`] for each verb → calls of the
//! library. What is printed goes through [`output`], what fails through
//! [`failure`], and the process ends with an [`exit::ExitStatus`].

mod arguments;
mod attach;
mod commands;
mod exit;
mod failure;
mod generate;
mod output;
mod quantity;
mod variables;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{Cli, Format};
use clap::Parser;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let status = match Cli::try_parse_from(&words) {
        Ok(cli) => {
            output::diagnostics::start(cli.global.debug);
            commands::run(&cli).unwrap_or_else(|failure| failure.report(cli.global.format))
        }
        Err(usage) => failure::usage(&usage, Format::wanted(&words)),
    };
    status.into()
}
