//! `ctrun pause`.

use clap::Args;
use libctr::Container;

use super::for_each_container;
use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;

/// Stop all processes of containers until they are unpaused
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    for_each_container(global, &arguments.containers, Container::pause)
}
