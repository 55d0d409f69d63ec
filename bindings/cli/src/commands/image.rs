//! `ctrun image`: one file for each of its commands.

mod import;
mod inspect;
mod load;
mod ls;
mod prune;
mod pull;
mod removed;
mod rm;
mod save;
mod tag;

use clap::Subcommand;

use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;

/// Manage images
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Load(load::Arguments),
    Save(save::Arguments),
    Import(import::Arguments),
    Pull(pull::Arguments),
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
    Inspect(inspect::Arguments),
    Tag(tag::Arguments),
    Rm(rm::Arguments),
    Prune(prune::Arguments),
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    match &arguments.command {
        Command::Load(arguments) => load::run(global, arguments),
        Command::Save(arguments) => save::run(global, arguments),
        Command::Import(arguments) => import::run(global, arguments),
        Command::Pull(arguments) => pull::run(arguments),
        Command::Ls(arguments) => ls::run(global, arguments),
        Command::Inspect(arguments) => inspect::run(global, arguments),
        Command::Tag(arguments) => tag::run(global, arguments),
        Command::Rm(arguments) => rm::run(global, arguments),
        Command::Prune(arguments) => prune::run(global, arguments),
    }
}
