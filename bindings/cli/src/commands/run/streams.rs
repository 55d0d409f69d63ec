//! What the program's standard streams are, and being attached to them.

use std::io::{IsTerminal, stdin, stdout};

use libctr::spec::{Limits, RunSpec};
use libctr::{Container, Error, ErrorKind, RunOptions, Stage, Stdio};

use super::wrong;
use crate::attach::{Attached, Pump, Signals, Terminal, own, size};

/// The kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    /// Ours, handed over; nothing is copied.
    Ours { input: bool },
    /// Pipes that are copied and counted.
    Counted { input: bool },
    /// A terminal of the container's own.
    Terminal { input: bool },
    /// A log that the helper keeps.
    Log { input: bool },
}

impl Streams {
    /// What the document and `--interactive` ask for.
    pub(super) fn choose(spec: &RunSpec, input: bool, taken: bool) -> libctr::Result<Streams> {
        if input && taken {
            return Err(wrong("--interactive", "standard input is the document of --spec"));
        }
        match (spec.detach, spec.tty) {
            (true, _) if spec.limits.output.is_some() => {
                Err(wrong("--output-limit", "cannot be combined with --detach")
                    .with_hint("--log-size bounds what a detached container keeps on disk"))
            }
            // The helper keeps the terminal: nobody types, its output is logged.
            (true, true) => Ok(Streams::Log { input: false }),
            (true, false) if input && stdin().is_terminal() => {
                Err(wrong("--interactive", "a detached program cannot read from this terminal"))
            }
            (true, false) => Ok(Streams::Log { input }),
            (false, true) if input && !stdin().is_terminal() => {
                Err(wrong("--tty", "the input device is not a TTY")
                    .with_hint("leave out --tty, or --interactive"))
            }
            (false, true) => Ok(Streams::Terminal { input }),
            (false, false) if spec.limits.output.is_some() => Ok(Streams::Counted { input }),
            (false, false) => Ok(Streams::Ours { input }),
        }
    }

    /// The same for the library.
    pub(super) fn options(self) -> RunOptions<'static> {
        let given = |input| if input { Stdio::Inherit } else { Stdio::Null };
        let (stdin, stdout, stderr) = match self {
            Streams::Ours { input } => (given(input), Stdio::Inherit, Stdio::Inherit),
            Streams::Counted { input } => (given(input), Stdio::Pipe, Stdio::Pipe),
            Streams::Terminal { .. } => (Stdio::Null, Stdio::Null, Stdio::Null),
            Streams::Log { input } => (given(input), Stdio::Log, Stdio::Log),
        };
        let terminal = matches!(self, Streams::Terminal { .. }).then(size);
        RunOptions { stdin, stdout, stderr, terminal, ..RunOptions::default() }
    }

    /// Connects the user to a container that was started with these options.
    pub(super) fn attach<'a>(
        self,
        container: &'a Container,
        signals: &'a Signals,
        limits: &Limits,
    ) -> libctr::Result<Attached<'a>> {
        let mut attached =
            Attached { container, signals, terminal: None, outputs: Vec::new(), input: None };
        match self {
            Streams::Terminal { input } => {
                let master = container.take_terminal().ok_or_else(|| missing("terminal"))?;
                let terminal = Terminal::connect(master, input)?;
                attached.outputs.push(terminal.output()?.limited(limits.output));
                attached.input = input.then(|| terminal.input()).transpose()?;
                // It may have changed while the container was started.
                terminal.follow_size()?;
                attached.terminal = Some(terminal);
            }
            Streams::Counted { .. } => {
                for (number, to) in [(1, own(stdout())?), (2, own(std::io::stderr())?)] {
                    let from = container.take_stream(number).ok_or_else(|| missing("pipe"))?;
                    attached.outputs.push(Pump::new(from, to).limited(limits.output));
                }
            }
            Streams::Ours { .. } | Streams::Log { .. } => {}
        }
        Ok(attached)
    }
}

fn missing(what: &str) -> Error {
    Error::new(Stage::Exec, ErrorKind::Internal, format!("the container has no {what}"))
}
