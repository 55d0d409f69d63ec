//! `ctrun logs`.

mod lines;

use std::time::{Duration, SystemTime};

use clap::Args;
use libctr::container::{LogReader, LogStream};
use libctr::{Container, Error, ErrorKind, Stage};

use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::quantity::{moment, timestamp};
use lines::{Piece, Pieces, Tail};

/// How often a log that is followed is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// Show what a detached container has written
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Go on until the container has ended
    #[arg(short, long)]
    follow: bool,
    /// Begin each line with its time
    #[arg(short, long)]
    timestamps: bool,
    /// Only the last lines: a number, or "all"
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", value_parser = count)]
    tail: Count,
    /// Only what was written since then: a time, or how long ago, such as 10m
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<SystemTime>,
    /// Name, id, or the beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// How many lines; `None` means all.
type Count = Option<usize>;

fn count(text: &str) -> std::result::Result<Count, String> {
    match text {
        "all" => Ok(None),
        number => number.parse().map(Some).map_err(|_| "expected a number or \"all\"".to_owned()),
    }
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let container = global.runtime()?.container(&arguments.container)?;
    let mut log = Log::new(&container, arguments.since);
    let mut show = |piece: Piece| show(&piece, arguments.timestamps);

    // What is there now is cut to its last lines; what follows is not.
    let found = match arguments.tail {
        None => log.read(&mut show)?,
        Some(count) => {
            let mut tail = Tail::new(count);
            let found = log.read(&mut |piece| {
                tail.push(piece);
                Ok(())
            })?;
            tail.finish().try_for_each(&mut show)?;
            found
        }
    };
    if !found {
        refuse_without_log(&container)?;
    }
    let mut ended = !arguments.follow;
    while !ended {
        // Looked at before the log, which is complete when it has ended.
        ended = container.wait(Some(PAUSE))?.is_some();
        log.read(&mut show)?;
    }
    Ok(ExitStatus::Success)
}

/// The log from some time on, in lines.
struct Log {
    reader: LogReader,
    since_ns: u64,
    pieces: Pieces,
}

impl Log {
    fn new(container: &Container, since: Option<SystemTime>) -> Log {
        let since = since.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok());
        let since_ns = u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        Log { reader: container.log(), since_ns, pieces: Pieces::default() }
    }

    /// Takes what was written since the last time. False: the log was empty.
    fn read(&mut self, take: &mut dyn FnMut(Piece) -> Result) -> Result<bool> {
        let mut found = false;
        for entry in &mut self.reader {
            let entry = entry?;
            found = true;
            if entry.time_ns >= self.since_ns {
                self.pieces.split(&entry).into_iter().try_for_each(&mut *take)?;
            }
        }
        Ok(found)
    }
}

fn show(piece: &Piece, timestamps: bool) -> Result {
    let mut text = Vec::new();
    if timestamps && piece.starts_line {
        text.extend(timestamp(piece.time_ns).as_bytes());
        text.push(b' ');
    }
    text.extend(&piece.data);
    match piece.stream {
        LogStream::Stdout => output::bytes(&text),
        LogStream::Stderr => output::error_bytes(&text),
    }
}

/// An empty log of a container that never had one would be a lie.
fn refuse_without_log(container: &Container) -> libctr::Result<()> {
    if container.info()?.detached {
        return Ok(());
    }
    let message = format!("container {} has no log", super::short(container.id()));
    Err(Error::new(Stage::State, ErrorKind::Unsupported, message)
        .with_hint("its output went to whoever ran it; containers run with --detach keep theirs"))
}
