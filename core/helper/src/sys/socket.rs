//! Sockets: between pid 1, the monitor and the host, and to ask the network
//! devices.

use super::{BorrowedFd, Errno, Fd, Result, address, address_mut, call, wide};

const SOCK_CLOEXEC: usize = 0o200_0000;

/// Brings the loopback interface of this network namespace up (netdevice(7)).
pub(crate) fn loopback_up(socket: BorrowedFd) -> Result<()> {
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP_RUNNING: u16 = 0x41;
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    let mut request = Request { name: [0; 16], flags: IFF_UP_RUNNING, rest: [0; 22] };
    [request.name[0], request.name[1]] = *b"lo";
    call!(IOCTL, socket.raw(), SIOCSIFFLAGS, address(&request)).map(drop)
}

/// A datagram socket to ask the network devices with.
pub(crate) fn socket() -> Result<Fd> {
    const AF_INET: usize = 2;
    const DGRAM_CLOEXEC: usize = 2 | SOCK_CLOEXEC;
    Fd::made(call!(SOCKET, AF_INET, DGRAM_CLOEXEC, 0)?)
}

/// Two ends of a sequenced socket.
pub(crate) fn socketpair() -> Result<(Fd, Fd)> {
    const AF_UNIX: usize = 1;
    const SEQPACKET_CLOEXEC: usize = 5 | SOCK_CLOEXEC;
    let mut ends = [0_i32; 2];
    call!(SOCKETPAIR, AF_UNIX, SEQPACKET_CLOEXEC, 0, address_mut(&mut ends))?;
    Ok((Fd(ends[0]), Fd(ends[1])))
}

const SOL_SOCKET_SCM_RIGHTS: u64 = 1 | (1 << 32);

/// Sends one packet with up to two descriptors; never raises SIGPIPE.
pub(crate) fn send(socket: BorrowedFd, bytes: &[u8], fds: [Option<BorrowedFd>; 2]) -> Result<()> {
    const MSG_NOSIGNAL: usize = 0x4000;
    let number = |fd: Option<BorrowedFd>| fd.map_or(0, |fd| u64::from(fd.0.cast_unsigned()));
    // struct cmsghdr { size_t len; int level; int type }, then the numbers.
    let length = match fds {
        [None, _] => 0,
        [Some(_), None] => 20,
        [Some(_), Some(_)] => 24,
    };
    let control = [length, SOL_SOCKET_SCM_RIGHTS, number(fds[0]) | (number(fds[1]) << 32)];
    let (control_at, control_size) =
        if length > 0 { (address(&control), wide(length)) } else { (0, 0) };
    let part = [address(bytes), bytes.len()];
    // struct msghdr: name, its length, iov, its count, control, its length, flags.
    let header = [0, 0, address(&part), 1, control_at, control_size, 0];
    call!(SENDMSG, socket.raw(), address(&header), MSG_NOSIGNAL).map(drop)
}

/// Lets every packet that arrives carry its sender's process id, as this
/// process sees it (unix(7), SO_PASSCRED).
pub(crate) fn pass_credentials(socket: BorrowedFd) -> Result<()> {
    const SOL_SOCKET: usize = 1;
    const SO_PASSCRED: usize = 16;
    let on = 1_i32;
    call!(SETSOCKOPT, socket.raw(), SOL_SOCKET, SO_PASSCRED, address(&on), size_of_val(&on)).map(drop)
}

/// A packet that was received.
#[derive(Debug, Default)]
pub(crate) struct Packet {
    pub(crate) length: usize,
    /// The sender.
    pub(crate) pid: Option<i32>,
    /// The descriptor that came with it.
    pub(crate) fd: Option<Fd>,
}

/// Receives one packet without waiting for it; of length 0 when all senders
/// are gone.
pub(crate) fn receive(socket: BorrowedFd, bytes: &mut [u8]) -> Result<Packet> {
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
    const MSG_DONTWAIT: usize = 0x40;
    const SOL_SOCKET_SCM_CREDENTIALS: u64 = 1 | (2 << 32);
    // Room for credentials (three ints) and one descriptor, each behind a
    // struct cmsghdr of two words.
    let mut control = [0_u64; 7];
    let part = [address_mut(bytes), bytes.len()];
    let mut header =
        [0, 0, address(&part), 1, address_mut(&mut control), size_of_val(&control), 0];
    let length = loop {
        match call!(RECVMSG, socket.raw(), address_mut(&mut header), MSG_CMSG_CLOEXEC | MSG_DONTWAIT) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut packet = Packet { length, ..Packet::default() };
    let mut rest = control.get(..header[5] / 8).unwrap_or(&[]);
    while let [size, kind, first, ..] = *rest {
        let [a, b, c, d, ..] = first.to_le_bytes();
        let number = i32::from_le_bytes([a, b, c, d]);
        match kind {
            SOL_SOCKET_SCM_RIGHTS => packet.fd = Some(Fd(number)),
            SOL_SOCKET_SCM_CREDENTIALS => packet.pid = Some(number),
            _ => {}
        }
        rest = rest.get(wide(size).div_ceil(8).max(2)..).unwrap_or(&[]);
    }
    Ok(packet)
}
