//! `ctrun run`.

mod limits;
mod mounts;
mod network;
pub(super) mod process;
mod security;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write, stdin};
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use libctr::spec::{Pull, RunSpec, Text};
use libctr::{Container, Error, ErrorKind, Exit, Outcome, Stage};

use crate::arguments::Global;
use crate::attach::{Signals, Streams, Wanted};
use crate::exit::ExitStatus;
use crate::failure::{Result, wrong};
use crate::output;

/// More than any document that the library reads.
const DOCUMENT: u64 = 16 << 20;

/// Run a program in a new container
///
/// IMAGE is the name of an image in the store, or "host" for the host's own
/// root, of which the container sees a private copy. Names, options and their
/// short forms are those of docker run.
#[derive(Debug, Args)]
#[command(
    override_usage = "ctrun run [OPTIONS] IMAGE [COMMAND] [ARG...]\n       \
                      ctrun run [OPTIONS] --rootfs DIR COMMAND [ARG...]\n       \
                      ctrun run [OPTIONS] --spec FILE [COMMAND] [ARG...]",
    disable_help_flag = true
)]
pub(crate) struct Arguments {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Return at once; the container goes on and keeps its output as a log
    #[arg(short, long)]
    detach: bool,
    /// Give the program our standard input
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal
    #[arg(short, long)]
    tty: bool,
    /// Remove the container when it ends
    #[arg(long)]
    rm: bool,
    /// Name of the container
    #[arg(long)]
    name: Option<String>,
    /// Label of the container, KEY or KEY=VALUE
    #[arg(short, long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Annotation, KEY=VALUE
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Write the id of the container into a new file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    cidfile: Option<PathBuf>,
    /// When the image is fetched from its registry
    #[arg(long, value_name = "WHEN", value_parser = pull)]
    pull: Option<Pull>,
    /// Use this directory as the root instead of an image
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    rootfs: Option<PathBuf>,
    /// Begin with this RunSpec document (- is standard input); options override it
    #[arg(long, value_name = "FILE", conflicts_with = "rootfs", value_hint = clap::ValueHint::FilePath)]
    spec: Option<PathBuf>,
    #[command(flatten)]
    process: process::Process,
    #[command(flatten)]
    mounts: mounts::Files,
    #[command(flatten)]
    network: network::Networking,
    #[command(flatten)]
    limits: limits::Limiting,
    #[command(flatten)]
    security: security::Confinement,
    /// Image, program and its arguments
    #[arg(value_name = "IMAGE [COMMAND] [ARG", trailing_var_arg = true)]
    words: Vec<OsString>,
}

fn pull(text: &str) -> std::result::Result<Pull, String> {
    match text {
        "missing" => Ok(Pull::Missing),
        "always" => Ok(Pull::Always),
        "never" => Ok(Pull::Never),
        _ => Err("expected missing, always or never".into()),
    }
}

/// The two sides of `KEY=VALUE`.
fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

impl Arguments {
    /// The document that the options stand for.
    fn document(&self) -> libctr::Result<RunSpec> {
        let mut spec = match &self.spec {
            Some(path) => read(path)?,
            None => RunSpec::default(),
        };
        let command = match (&self.spec, &self.rootfs) {
            (None, None) => {
                let Some((image, command)) = self.words.split_first() else {
                    return Err(wrong("IMAGE", "expected an image, or \"host\"")
                        .with_hint("for example: ctrun run --rm host uname -a"));
                };
                let image = image.to_str().ok_or_else(|| wrong("IMAGE", "is not UTF-8"))?;
                spec.image = Some(image.to_owned());
                command
            }
            (_, rootfs) => {
                if let Some(rootfs) = rootfs {
                    spec.rootfs = Some(mounts::absolute(rootfs)?);
                }
                &self.words
            }
        };
        if !command.is_empty() {
            spec.args = command.iter().cloned().map(Text::from).collect();
        }
        spec.detach |= self.detach;
        spec.tty |= self.tty;
        if self.rm {
            spec.remove = Some(true);
        }
        // What was run by hand can be looked at afterwards, as with Docker.
        spec.remove = spec.remove.or(Some(false));
        spec.name = self.name.clone().or(spec.name);
        spec.labels.extend(self.labels.iter().map(|label| pair(label)));
        spec.annotations.extend(self.annotations.iter().map(|annotation| pair(annotation)));
        spec.pull = self.pull.unwrap_or(spec.pull);
        self.process.apply(&mut spec)?;
        self.mounts.apply(&mut spec)?;
        self.network.apply(&mut spec)?;
        self.limits.apply(&mut spec)?;
        self.security.apply(&mut spec)?;
        Ok(spec)
    }
}

/// Reads a document from a file or from standard input.
fn read(path: &Path) -> libctr::Result<RunSpec> {
    let mut json = Vec::new();
    let failed =
        |call: &str, error| Error::io(Stage::Spec, format!("--spec: {call}({path:?})"), error);
    let reader: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(stdin()),
        _ => Box::new(File::open(path).map_err(|error| failed("open", error))?),
    };
    reader.take(DOCUMENT).read_to_end(&mut json).map_err(|error| failed("read", error))?;
    RunSpec::from_json(&json)
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let spec = arguments.document()?;
    let reads_stdin = arguments.spec.as_deref() == Some(Path::new("-"));
    if arguments.interactive && reads_stdin {
        return Err(wrong("--interactive", "standard input is the document of --spec").into());
    }
    let streams = Streams::choose(Wanted {
        detach: spec.detach,
        log: true,
        tty: spec.tty,
        interactive: arguments.interactive,
        limit: spec.limits.output,
    })?;
    spec.validate()?;
    let runtime = global.runtime()?;
    let id_file = arguments.cidfile.as_deref().map(IdFile::create).transpose()?;
    let signals = Signals::block()?;
    let mut options = streams.options();
    options.cancel = Some(signals.ending());
    let container = match runtime.run(&spec, options) {
        // A signal came first.
        Err(error) if error.kind() == ErrorKind::Cancelled => {
            return match signals.take()? {
                Some(signal) => Ok(ExitStatus::Signal(signal)),
                None => Err(error.into()),
            };
        }
        other => other?,
    };
    if let Some(file) = id_file {
        file.fill(&container)?;
    }
    if spec.detach {
        output::line(container.id())?;
        return Ok(ExitStatus::Success);
    }
    let exit = streams.attach(&container, &signals, spec.limits.output)?.stay()?;
    log::debug!("{}: {exit}", container.id());
    explain(&exit);
    Ok(ExitStatus::from(&exit))
}

/// Says what the exit code alone does not.
pub(super) fn explain(exit: &Exit) {
    let why = match exit.outcome {
        Outcome::OomKilled => "killed by the kernel: out of memory (--memory)",
        Outcome::WallTimeout => "killed: out of time (--timeout)",
        Outcome::CpuTimeout => "killed: out of processor time (--cpu-time)",
        Outcome::OutputLimit => "killed: too much output (--output-limit)",
        Outcome::PidsLimit => "failed after it was refused a process (--pids-limit)",
        Outcome::Cancelled => "cancelled",
        Outcome::Lost => "lost: its monitor was killed, and everything with it",
        _ => return,
    };
    output::tell(format_args!("ctrun: {why}"));
}

/// The file of `--cidfile`: must not exist before, does not exist after a
/// failed start.
struct IdFile<'a> {
    path: &'a Path,
    file: File,
    is_filled: bool,
}

impl IdFile<'_> {
    fn create(path: &Path) -> libctr::Result<IdFile<'_>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|error| {
            Error::io(Stage::State, format!("--cidfile: open({path:?}, O_EXCL)"), error)
        })?;
        Ok(IdFile { path, file, is_filled: false })
    }

    /// A container whose id nobody knows is ended.
    fn fill(mut self, container: &Container) -> libctr::Result<()> {
        let written = self.file.write_all(container.id().as_bytes());
        self.is_filled = written.is_ok();
        written.map_err(|error| {
            let _ = container.cancel();
            Error::io(Stage::State, format!("--cidfile: write({:?})", self.path), error)
        })
    }
}

impl Drop for IdFile<'_> {
    fn drop(&mut self) {
        if !self.is_filled {
            let _ = std::fs::remove_file(self.path);
        }
    }
}
