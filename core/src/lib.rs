//! libctr: a container runtime that a program links.

#![warn(missing_docs)]

pub mod error;

pub mod spec;

pub mod image;

pub(crate) mod sandbox;

pub(crate) mod process;

pub mod cgroup;

#[allow(unsafe_code, reason = "the place for system calls that crate nix does not wrap")]
#[allow(dead_code, reason = "first callers arrive with the launch")]
mod sys;

pub use error::{Error, ErrorKind, Result, Stage};
