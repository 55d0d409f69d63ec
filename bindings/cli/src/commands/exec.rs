//! `ctrun exec`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use libctr::ErrorKind;
use libctr::spec::{ExecSpec, Text};

use super::run::explain;
use crate::arguments::Global;
use crate::attach::{Signals, Streams, Wanted};
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::quantity::{duration, size};
use crate::variables::Variables;

/// Run another program in a container that runs
///
/// Variables, user and working directory are the container's unless an option
/// says otherwise. The program ends with the container. Options and their
/// short forms are those of docker exec.
#[derive(Debug, Args)]
#[command(override_usage = "ctrun exec [OPTIONS] CONTAINER COMMAND [ARG...]")]
pub(crate) struct Arguments {
    /// Return at once; the program goes on and nobody reads its output
    #[arg(short, long)]
    detach: bool,
    /// Give the program our standard input
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    tty: bool,
    #[command(flatten)]
    variables: Variables,
    /// Working directory inside
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// User: a name or number inside, alone or followed by :GROUP
    #[arg(short, long)]
    user: Option<String>,
    /// Time until the program is ended, such as 90s or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Bytes of each output until the program is ended
    #[arg(long, value_name = "SIZE", value_parser = size)]
    output_limit: Option<u64>,
    /// Name or id, or the beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The program and its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<OsString>,
}

impl Arguments {
    fn document(&self) -> libctr::Result<ExecSpec> {
        let mut spec = ExecSpec {
            args: self.command.iter().cloned().map(Text::from).collect(),
            cwd: self.workdir.clone(),
            user: self.user.clone(),
            tty: self.tty,
            detach: self.detach,
            ..ExecSpec::default()
        };
        self.variables.apply(&mut spec.env, &mut spec.inherit_env)?;
        spec.limits.wall_time = self.timeout;
        spec.limits.output = self.output_limit;
        spec.validate()?;
        Ok(spec)
    }
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let spec = arguments.document()?;
    let streams = Streams::choose(Wanted {
        detach: spec.detach,
        log: false,
        tty: spec.tty,
        interactive: arguments.interactive,
        limit: spec.limits.output,
    })?;
    let container = global.runtime()?.container(&arguments.container)?;
    let signals = Signals::block()?;
    let mut options = streams.options();
    options.cancel = Some(signals.ending());
    let exec = match container.exec(&spec, options) {
        // A signal came first.
        Err(error) if error.kind() == ErrorKind::Cancelled => {
            return match signals.take()? {
                Some(signal) => Ok(ExitStatus::Signal(signal)),
                None => Err(error.into()),
            };
        }
        other => other?,
    };
    if spec.detach {
        output::line(exec.id())?;
        return Ok(ExitStatus::Success);
    }
    let exit = streams.attach(&exec, &signals, spec.limits.output)?.stay()?;
    log::debug!("{}: {exit}", exec.id());
    explain(&exit);
    Ok(ExitStatus::from(&exit))
}
