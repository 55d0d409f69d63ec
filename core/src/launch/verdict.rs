//! What becomes of an attempt to start a container.
//!
//! Stage `launch`, host side: the helper says on its channel either that the
//! program was executed or which call of which step has failed. A refused
//! overlay of the root is told apart from all other failures, because a second
//! attempt can do without.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libctr_helper::fault::Fault;
use libctr_helper::message::{Control, Message};

use crate::error::{Error, ErrorKind, Stage};
use crate::helper::channel::{self, Channel};
use crate::helper::fault;
use nix::errno::Errno;

/// Why an attempt failed.
pub(super) enum Failure {
    /// The root's overlay cannot be mounted here.
    NoOverlay(Error),
    /// Namespaces cannot be made here.
    NoNamespaces(Error),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        let (Failure::NoOverlay(error) | Failure::NoNamespaces(error) | Failure::Other(error)) =
            failure;
        error
    }
}

/// What a start that succeeded leaves.
pub(super) struct Executed {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) terminal: Option<OwnedFd>,
    /// The listener of the filter of system calls.
    pub(super) listener: Option<OwnedFd>,
}

/// Waits for what the helper says of the start.
pub(super) fn verdict(
    channel: &Channel,
    helper: &OwnedFd,
    plan: &[u8],
    cancel: Option<BorrowedFd<'_>>,
) -> Result<Executed, Failure> {
    let mut cancel = cancel;
    let mut cancelled = None;
    let mut listener = None;
    loop {
        let message = match channel.receive(cancel) {
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                // Ask the helper to undo, then wait for its last word.
                // At once: no grace period is due to a program that the caller
                // never got to see.
                let _ = channel::ask(helper.as_fd(), Control::Kill);
                cancelled = Some(error);
                cancel = None;
                continue;
            }
            other => other?,
        };
        if let Some((Message::Listener, [received, _])) = message {
            // It got lost: this process may have no more descriptors.
            let lost = || Error::sys(Stage::Launch, "recvmsg(seccomp listener)", Errno::EMFILE);
            listener = Some(received.ok_or_else(lost)?);
            continue;
        }
        match (message, cancelled.take()) {
            (Some((Message::Started { pid }, [Some(pidfd), terminal])), None) => {
                return Ok(Executed { pid, pidfd, terminal, listener });
            }
            (_, Some(error)) => return Err(error.into()),
            (Some((Message::Failed(fault), _)), None) => return Err(failed(plan, fault)),
            (Some(_), None) => {
                return Err(Error::new(
                    Stage::Launch,
                    ErrorKind::Internal,
                    "the helper sent an unknown message",
                )
                .into());
            }
            (None, None) => {
                let message = "the helper ended before the container was started";
                return Err(Error::new(Stage::Launch, ErrorKind::SetupFailed, message)
                    .with_hint("was it killed? is memory short?")
                    .into());
            }
        }
    }
}

fn failed(plan: &[u8], fault: Fault) -> Failure {
    let error = fault::error(plan, fault);
    if fault::refuses_overlay(plan, fault) {
        Failure::NoOverlay(error)
    } else if fault::refuses_namespaces(plan, fault) {
        Failure::NoNamespaces(error)
    } else {
        Failure::Other(error)
    }
}
