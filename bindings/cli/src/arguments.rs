//! The command line as a whole: what every command has, and which there are.
//!
//! Help, completions and man pages are made from these definitions.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use libctr::{Runtime, RuntimeOptions};

use crate::commands::{
    doctor, exec, features, image, inspect, kill, logs, pause, ps, rm, run, stats, stop, unpause,
    version, wait,
};
use crate::generate;

/// Run isolated, limited, measured commands and containers, without a daemon.
#[derive(Debug, Parser)]
#[command(
    name = "ctrun",
    version = version::NUMBER,
    long_version = version::TEXT.as_str(),
    args_override_self = true,
    max_term_width = 100,
    after_help = "The exit code is the program's own; 128+N if signal N ended it, 124 after a \
                  timeout, 125 if ctrun failed, 126 if the program cannot be executed, 127 if it \
                  does not exist."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command has.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Directory of the containers' state [default: /run/libctr for root]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) root: Option<PathBuf>,
    /// Directory of images and written layers [default: /var/lib/libctr for root]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,
    /// Show what the library logs, and what errors were caused by
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// Form of tables and error messages: for people or for programs
    #[arg(long, global = true, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences
    Table,
    /// JSON
    Json,
}

impl Format {
    /// The form that a command line asks for which cannot be read as a whole.
    pub(crate) fn wanted(words: &[OsString]) -> Format {
        let pairs = words.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json");
        let json = pairs || words.iter().any(|word| word == "--format=json");
        if json { Format::Json } else { Format::Table }
    }
}

impl Global {
    /// Opens the directories.
    pub(crate) fn runtime(&self) -> libctr::Result<Runtime> {
        Runtime::open(&self.options())
    }

    /// Where the directories are.
    pub(crate) fn options(&self) -> RuntimeOptions {
        RuntimeOptions {
            run: self.root.clone(),
            data: self.data.clone(),
            ..RuntimeOptions::default()
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<run::Arguments>),
    Exec(exec::Arguments),
    #[command(visible_alias = "ls")]
    Ps(ps::Arguments),
    Inspect(inspect::Arguments),
    Logs(logs::Arguments),
    Stop(stop::Arguments),
    Kill(kill::Arguments),
    Pause(pause::Arguments),
    Unpause(unpause::Arguments),
    Rm(rm::Arguments),
    Stats(stats::Arguments),
    Wait(wait::Arguments),
    Image(image::Arguments),
    Doctor(doctor::Arguments),
    Features(features::Arguments),
    Version(version::Arguments),
    Completions(generate::Completions),
    #[command(hide = true)]
    Man(generate::Man),
}

#[cfg(test)]
mod tests {
    use super::{Cli, Format};
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_found_on_a_line_that_cannot_be_read() {
        let wanted = |words: &[&str]| {
            Format::wanted(&words.iter().map(std::ffi::OsString::from).collect::<Vec<_>>())
        };
        assert_eq!(wanted(&["ctrun", "--format", "json", "nonsense"]), Format::Json);
        assert_eq!(wanted(&["ctrun", "ps", "--format=json", "--nonsense"]), Format::Json);
        assert_eq!(wanted(&["ctrun", "ps", "--format", "table"]), Format::Table);
    }
}
