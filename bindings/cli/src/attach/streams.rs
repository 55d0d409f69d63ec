//! What the program's standard streams are, and being attached to them.

use std::io::{IsTerminal, stdin, stdout};

use libctr::{Error, ErrorKind, RunOptions, Stage, Stdio};

use super::{Attached, Pump, Running, Signals, Terminal, own, size};
use crate::failure::wrong;

/// What decides about the streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Nobody stays attached.
    pub(crate) detach: bool,
    /// Output that nobody reads is kept as a log.
    pub(crate) log: bool,
    pub(crate) tty: bool,
    pub(crate) interactive: bool,
    /// Bytes of each output.
    pub(crate) limit: Option<u64>,
}

/// The kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streams {
    /// Ours, handed over; nothing is copied.
    Ours { input: bool },
    /// Pipes that are copied and counted.
    Counted { input: bool },
    /// A terminal of the container's own.
    Terminal { input: bool },
    /// A log that the helper keeps.
    Log { input: bool },
    /// Nothing is kept.
    Nothing { input: bool },
}

impl Streams {
    /// What the options ask for.
    pub(crate) fn choose(wanted: Wanted) -> libctr::Result<Streams> {
        let input = wanted.interactive;
        let unread = |input| match wanted.log {
            true => Streams::Log { input },
            false => Streams::Nothing { input },
        };
        match (wanted.detach, wanted.tty) {
            (true, _) if wanted.limit.is_some() => {
                Err(wrong("--output-limit", "cannot be combined with --detach")
                    .with_hint("--log-size bounds what a detached container keeps on disk"))
            }
            // The helper keeps the terminal: nobody types.
            (true, true) => Ok(unread(false)),
            (true, false) if input && stdin().is_terminal() => {
                Err(wrong("--interactive", "a detached program cannot read from this terminal"))
            }
            (true, false) => Ok(unread(input)),
            (false, true) if input && !stdin().is_terminal() => {
                Err(wrong("--tty", "the input device is not a TTY")
                    .with_hint("leave out --tty, or --interactive"))
            }
            (false, true) => Ok(Streams::Terminal { input }),
            (false, false) if wanted.limit.is_some() => Ok(Streams::Counted { input }),
            (false, false) => Ok(Streams::Ours { input }),
        }
    }

    /// The same for the library.
    pub(crate) fn options(self) -> RunOptions<'static> {
        let given = |input| if input { Stdio::Inherit } else { Stdio::Null };
        let (stdin, stdout, stderr) = match self {
            Streams::Ours { input } => (given(input), Stdio::Inherit, Stdio::Inherit),
            Streams::Counted { input } => (given(input), Stdio::Pipe, Stdio::Pipe),
            Streams::Terminal { .. } => (Stdio::Null, Stdio::Null, Stdio::Null),
            Streams::Log { input } => (given(input), Stdio::Log, Stdio::Log),
            Streams::Nothing { input } => (given(input), Stdio::Null, Stdio::Null),
        };
        let terminal = matches!(self, Streams::Terminal { .. }).then(size);
        RunOptions { stdin, stdout, stderr, terminal, ..RunOptions::default() }
    }

    /// Connects the user to what was started with these options.
    pub(crate) fn attach<'a>(
        self,
        running: &'a dyn Running,
        signals: &'a Signals,
        limit: Option<u64>,
    ) -> libctr::Result<Attached<'a>> {
        let mut attached =
            Attached { running, signals, terminal: None, outputs: Vec::new(), input: None };
        match self {
            Streams::Terminal { input } => {
                let master = running.take_terminal().ok_or_else(|| missing("terminal"))?;
                let terminal = Terminal::connect(master, input)?;
                attached.outputs.push(terminal.output()?.limited(limit));
                attached.input = input.then(|| terminal.input()).transpose()?;
                // It may have changed while the container was started.
                terminal.follow_size()?;
                attached.terminal = Some(terminal);
            }
            Streams::Counted { .. } => {
                for (number, to) in [(1, own(stdout())?), (2, own(std::io::stderr())?)] {
                    let from = running.take_stream(number).ok_or_else(|| missing("pipe"))?;
                    attached.outputs.push(Pump::new(from, to).limited(limit));
                }
            }
            Streams::Ours { .. } | Streams::Log { .. } | Streams::Nothing { .. } => {}
        }
        Ok(attached)
    }
}

fn missing(what: &str) -> Error {
    Error::new(Stage::Exec, ErrorKind::Internal, format!("there is no {what}"))
}
