//! `ctrun stats`.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use clap::Args;
use libctr::cgroup::Stats;
use libctr::{Container, Error, ErrorKind, Runtime, Stage, Status};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use super::short;
use crate::arguments::Global;
use crate::attach::Signals;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::output::table::Table;
use crate::quantity::bytes;

/// Processor time is measured over this time.
const PERIOD: Duration = Duration::from_secs(1);
/// The same where one sample is wanted.
const SHORT_PERIOD: Duration = Duration::from_millis(250);
/// Moves to the top left corner and clears the screen (`console_codes(4)`).
const CLEAR: &[u8] = b"\x1b[H\x1b[J";

/// Show what containers use, until Ctrl-C; without names, all that run
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Show it once
    #[arg(long)]
    no_stream: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// One container at one moment. Figures that were not measured are absent.
#[derive(Serialize)]
struct Sample {
    id: String,
    name: Option<String>,
    /// Of one processor; 200 means two whole ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<f64>,
    #[serde(flatten)]
    stats: Stats,
}

/// A container that is watched, and its processor time at the last look.
struct Watched {
    container: Container,
    before: Option<(Instant, u64)>,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let runtime = global.runtime()?;
    let signals = Signals::block()?;
    let mut watched = choose(&runtime, &arguments.containers)?;
    let named = !arguments.containers.is_empty();
    samples(&mut watched)?;
    let period = if arguments.no_stream { SHORT_PERIOD } else { PERIOD };
    while !is_over(&signals, period)? {
        if !named && !arguments.no_stream {
            adopt(&mut watched, choose(&runtime, &[])?);
        }
        let samples = samples(&mut watched)?;
        show(global, &samples, !arguments.no_stream)?;
        if arguments.no_stream || (named && watched.is_empty()) {
            break;
        }
    }
    Ok(ExitStatus::Success)
}

fn choose(runtime: &Runtime, names: &[String]) -> libctr::Result<Vec<Watched>> {
    if names.is_empty() {
        let running = runtime.list()?.into_iter().filter(|info| info.status != Status::Exited);
        let opened = running.map(|info| runtime.container(&info.id));
        // One that has ended since is nothing to show.
        let opened = opened.filter(|opened| {
            !opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)
        });
        return opened
            .map(|container| Ok(Watched { container: container?, before: None }))
            .collect();
    }
    let open = |name: &String| {
        let container = runtime.container(name)?;
        // One that has ended has no figures: say so before anything is shown.
        container.stats()?;
        Ok(Watched { container, before: None })
    };
    names.iter().map(open).collect()
}

/// Adds containers that were started meanwhile.
fn adopt(watched: &mut Vec<Watched>, found: Vec<Watched>) {
    for new in found {
        if !watched.iter().any(|known| known.container.id() == new.container.id()) {
            watched.push(new);
        }
    }
}

/// Looks at each container; those that have ended are dropped.
fn samples(watched: &mut Vec<Watched>) -> libctr::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut kept = Vec::new();
    for mut one in watched.drain(..) {
        let stats = match one.container.stats() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other?,
        };
        let now = Instant::now();
        let cpu_percent = one.before.zip(stats.cpu.usage_ns).map(|((then, before), usage)| {
            let used = Duration::from_nanos(usage.saturating_sub(before)).as_secs_f64();
            let percent = 100.0 * used / now.duration_since(then).as_secs_f64();
            (percent * 100.0).round() / 100.0
        });
        one.before = stats.cpu.usage_ns.map(|usage| (now, usage));
        samples.push(Sample {
            id: one.container.id().to_owned(),
            name: one.container.name().map(str::to_owned),
            cpu_percent,
            stats,
        });
        kept.push(one);
    }
    *watched = kept;
    Ok(samples)
}

/// Waits for the next look. True: the user has had enough.
fn is_over(signals: &Signals, period: Duration) -> libctr::Result<bool> {
    let mut fds = [PollFd::new(signals.ending(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(period).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(Error::sys(Stage::Wait, "poll(signals)", errno)),
    }
}

fn show(global: &Global, samples: &[Sample], streaming: bool) -> Result {
    if global.is_json() {
        return match streaming {
            true => output::json_line(&samples),
            false => output::json(&samples),
        };
    }
    let headings =
        ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "BLOCK I/O", "PIDS"];
    let mut table = Table::new(&headings);
    for sample in samples {
        table.row(row(sample));
    }
    let mut text = Vec::new();
    if streaming && std::io::stdout().as_fd().is_terminal() {
        text.extend(CLEAR);
    }
    text.extend(table.render().as_bytes());
    output::bytes(&text)
}

fn row(sample: &Sample) -> [String; 7] {
    let Stats { memory, io, pids, .. } = &sample.stats;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let size = |number: Option<u64>| or_dash(number.map(bytes));
    let percent = |number: Option<f64>| or_dash(number.map(|number| format!("{number:.2}%")));
    let share = memory.current.zip(memory.limit).map(|(used, limit)| {
        // To a hundredth of a percent.
        let parts = u128::from(used) * 10_000 / u128::from(limit.max(1));
        f64::from(u32::try_from(parts).unwrap_or(u32::MAX)) / 100.0
    });
    [
        short(&sample.id).into(),
        or_dash(sample.name.clone()),
        percent(sample.cpu_percent),
        format!("{} / {}", size(memory.current), size(memory.limit)),
        percent(share),
        format!("{} / {}", size(io.read_bytes), size(io.written_bytes)),
        or_dash(pids.current.map(|count| count.to_string())),
    ]
}
