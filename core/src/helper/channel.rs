//! The channel on which a helper tells its host how the start went.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libctr_helper::message::{Control, Message};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, send, socketpair,
};

use crate::error::{Error, Result, Stage};
use crate::sys::{self, SysResult};

/// Both ends: ours, and the one that the helper inherits.
pub(crate) fn pair() -> Result<(Channel, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let failed = |errno| Error::sys(Stage::Launch, "socketpair(AF_UNIX, SOCK_SEQPACKET)", errno);
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).map_err(failed)?;
    let ours = sys::high(ours).map_err(failed)?;
    Ok((Channel(ours), sys::high(theirs).map_err(failed)?))
}

/// Asks a helper for something. One that somebody has stopped goes on for it.
pub(crate) fn ask(helper: BorrowedFd<'_>, control: Control) -> SysResult<()> {
    sys::pidfd_queue(helper, Control::SIGNAL, control.to_value())?;
    // It may have obeyed and ended by now.
    let _ = sys::pidfd_send_signal(helper, libc::SIGCONT);
    Ok(())
}

/// The error of a start that the caller has given up.
pub(crate) fn cancelled() -> Error {
    Error::new(Stage::Launch, crate::ErrorKind::Cancelled, "the start was cancelled")
}

/// The host's end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Waits for the next message. `None`: the helper is gone. The second
    /// descriptor, if given, interrupts the wait with `Cancelled`.
    pub(crate) fn receive(
        &self,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<Option<(Message, [Option<OwnedFd>; 2])>> {
        self.wait(cancel)?;
        let mut bytes = [0_u8; Message::SIZE];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!([libc::c_int; 2]);
        let failed = |errno| Error::sys(Stage::Launch, "recvmsg(channel of the helper)", errno);
        let (length, numbers) = loop {
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(None),
                Err(errno) => return Err(failed(errno)),
                Ok(message) => {
                    let mut received = Vec::new();
                    for part in message.cmsgs().map_err(failed)? {
                        if let ControlMessageOwned::ScmRights(numbers) = part {
                            received = numbers;
                        }
                    }
                    break (message.bytes, received);
                }
            }
        };
        // All of them are adopted before any can fail, so that none leaks.
        let mut fds = numbers.into_iter().map(sys::adopt_received).collect::<Vec<_>>().into_iter();
        let mut next = || fds.next().transpose().map_err(failed);
        let fds = [next()?, next()?];
        if length == 0 {
            return Ok(None);
        }
        Ok(Some((Message::from_bytes(bytes), fds)))
    }

    /// Tells a helper that waits for its groups that they are there.
    pub(crate) fn go_on(&self) -> Result<()> {
        loop {
            match send(self.0.as_raw_fd(), Message::GO_ON, MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::EINTR) => {}
                // Its own end, about which the next message or none tells.
                Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(()),
                Err(errno) => {
                    return Err(Error::sys(Stage::Launch, "send(channel of the helper)", errno));
                }
            }
        }
    }

    fn wait(&self, cancel: Option<BorrowedFd<'_>>) -> Result<()> {
        let Some(cancel) = cancel else { return Ok(()) };
        let mut fds = [
            PollFd::new(self.0.as_fd(), PollFlags::POLLIN),
            PollFd::new(cancel, PollFlags::POLLIN),
        ];
        loop {
            match nix::poll::poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(Error::sys(Stage::Launch, "poll(channel of the helper)", errno));
                }
                Ok(_) if fds[1].any().unwrap_or(false) => {
                    return Err(cancelled());
                }
                Ok(_) => return Ok(()),
            }
        }
    }
}
