//! `ctrun stop`.

use std::time::Duration;

use clap::Args;
use libctr::Container;

use super::for_each_container;
use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::quantity::duration;

/// How long a program has where neither the user nor `run` said so.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ask the programs of containers to end, and kill what does not
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How long to wait before killing [default: as run said with --stop-timeout, else 10]
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", value_parser = duration)]
    time: Option<Duration>,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    for_each_container(global, &arguments.containers, |container| {
        let time = match arguments.time {
            Some(time) => time,
            None => of_container(container)?,
        };
        container.stop(time).map(drop)
    })
}

/// The time that the container was run with.
fn of_container(container: &Container) -> libctr::Result<Duration> {
    let spec = container.info()?.spec;
    let grace = spec["limits"]["grace"].as_f64();
    Ok(grace.and_then(|grace| Duration::try_from_secs_f64(grace).ok()).unwrap_or(PATIENCE))
}
