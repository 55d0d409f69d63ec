//! libctr: a container runtime that a program links.

#![warn(missing_docs)]

pub mod error;
pub mod spec;
pub mod image;
pub mod sandbox;
pub mod process;
pub mod cgroup;
#[allow(dead_code, reason = "TODO skeleton")]
mod sys;

pub use error::{Error, ErrorKind, Result, Stage};
