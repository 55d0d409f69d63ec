//! libctr: a container runtime that a program links.
//!
//! One call takes an image, a directory or the host's own root to an
//! isolated, limited, measured process, tells the truth about how it ended,
//! and leaves nothing behind. The pipeline, in the order of the modules:
//!
//! ```text
//! spec ─▶ image ─▶ sandbox ─▶ process ─▶ cgroup ─▶ launch ─▶ (helper) ─▶ wait
//!  what    layers   lower,     argv, env   limits    plan,     mounts,      exit
//!  to run           upper      user, cwd             spawn     user, exec   record
//! ```
//!
//! ```no_run
//! use libctr::{RunOptions, Runtime, RuntimeOptions, Stdio, spec::RunSpec};
//!
//! let runtime = Runtime::open(&RuntimeOptions::default())?;
//! let mut spec = RunSpec { args: vec!["echo".into(), "hello".into()], ..RunSpec::default() };
//! spec.limits.memory = Some(64 << 20);
//! let options = RunOptions { stdout: Stdio::Pipe, ..RunOptions::default() };
//! let container = runtime.run(&spec, options)?;
//! let output = container.output(b"", &spec.limits)?;
//! assert_eq!(output.stdout, b"hello\n");
//! assert!(output.exit.success());
//! # Ok::<(), libctr::Error>(())
//! ```
//!
//! The library never changes its host process: no threads, no fork, no
//! signal handlers, no working directory, no environment, no credentials.

#![warn(missing_docs)]

pub mod error;

pub mod spec;

pub mod image;

pub(crate) mod sandbox;

pub(crate) mod process;

pub mod cgroup;

pub(crate) mod helper;

pub(crate) mod userns;

pub(crate) mod launch;

pub mod wait;

pub(crate) mod state;

pub mod container;

pub mod runtime;

pub mod probe;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

mod proc;

mod tree;

#[allow(unsafe_code, reason = "the place for system calls that crate nix does not wrap")]
mod sys;

pub use container::{Container, Exec, Info, Output, RootMount, Status};
pub use error::{Error, ErrorKind, Result, Stage};
pub use launch::{RunOptions, Stdio};
pub use probe::{Probe, probe};
pub use runtime::{Runtime, RuntimeOptions};
pub use wait::{Exit, Outcome, Usage};
