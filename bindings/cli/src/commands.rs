//! One file for each command: its arguments and what it does.

pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod features;
pub(crate) mod image;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod pause;
pub(crate) mod ps;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod unpause;
pub(crate) mod version;
pub(crate) mod wait;

use libctr::Container;

use crate::arguments::{Cli, Command, Global};
use crate::exit::ExitStatus;
use crate::failure::{self, Failure, Result};
use crate::{generate, output};

/// Does what the command line says.
pub(crate) fn run(cli: &Cli) -> Result<ExitStatus> {
    let global = &cli.global;
    match &cli.command {
        Command::Run(arguments) => run::run(global, arguments),
        Command::Exec(arguments) => exec::run(global, arguments),
        Command::Ps(arguments) => ps::run(global, arguments),
        Command::Inspect(arguments) => inspect::run(global, arguments),
        Command::Logs(arguments) => logs::run(global, arguments),
        Command::Stop(arguments) => stop::run(global, arguments),
        Command::Kill(arguments) => kill::run(global, arguments),
        Command::Pause(arguments) => pause::run(global, arguments),
        Command::Unpause(arguments) => unpause::run(global, arguments),
        Command::Rm(arguments) => rm::run(global, arguments),
        Command::Stats(arguments) => stats::run(global, arguments),
        Command::Wait(arguments) => wait::run(global, arguments),
        Command::Image(arguments) => image::run(global, arguments),
        Command::Doctor(arguments) => doctor::run(global, arguments),
        Command::Features(arguments) => features::run(global, arguments),
        Command::Version(arguments) => version::run(global, arguments),
        Command::Completions(arguments) => generate::completions(arguments),
        Command::Man(arguments) => generate::man(arguments),
    }
}

/// Does the same to each of several things. One that fails is told and keeps
/// the others from nothing; the command then fails at its end.
pub(crate) fn for_each<'a>(
    global: &Global,
    names: &'a [String],
    mut action: impl FnMut(&'a str) -> Result,
) -> Result<ExitStatus> {
    let mut status = ExitStatus::Success;
    for name in names {
        match action(name) {
            Ok(()) => {}
            Err(Failure::Error(error)) => {
                status = status.and(failure::report(&error, global.format))
            }
            Err(closed) => return Err(closed),
        }
    }
    Ok(status)
}

/// Does the same to each container that is named, and prints the names.
pub(crate) fn for_each_container(
    global: &Global,
    names: &[String],
    action: impl Fn(&Container) -> libctr::Result<()>,
) -> Result<ExitStatus> {
    let runtime = global.runtime()?;
    for_each(global, names, |name| {
        action(&runtime.container(name)?)?;
        output::line(name)
    })
}

/// The first digits of an id, as tables show it.
pub(crate) fn short(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}
