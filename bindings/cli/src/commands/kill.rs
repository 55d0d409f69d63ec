//! `ctrun kill`.

use clap::Args;
use libctr::spec::signal_number;

use super::for_each_container;
use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;

/// Send a signal to the programs of containers
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name or number; KILL ends the whole container
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL", value_parser = signal)]
    signal: i32,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Reads a signal.
pub(crate) fn signal(text: &str) -> std::result::Result<i32, String> {
    signal_number(text).ok_or_else(|| "expected a signal such as TERM, SIGTERM or 15".to_owned())
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    for_each_container(global, &arguments.containers, |container| container.kill(arguments.signal))
}
