//! Against servers that are made for it, on sockets of their own. Real ones are
//! in `tests/tests/systemd.rs`.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::address::Name;
use super::super::message::RETURN;
use super::{Address, Bus, LINE, Patience};
use crate::cgroup::systemd::{Manager, method};
use crate::error::{Error, ErrorKind, Result, Stage};

const OK: &[u8] = b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n";

/// Runs `client` beside a server that accepts one connection.
fn beside<T>(
    server: impl FnOnce(UnixStream) + Send,
    client: impl FnOnce(&Address, Patience<'_>) -> T,
) -> T {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private");
    let listener = UnixListener::bind(&path).unwrap();
    let patience = Patience { until: Instant::now() + Duration::from_millis(500), cancel: None };
    std::thread::scope(|scope| {
        scope.spawn(move || server(listener.accept().unwrap().0));
        client(&at(&path), patience)
    })
}

fn at(path: &Path) -> Address {
    Address { name: Name::Path(path.into()), is_bus: false }
}

/// Reads the handshake and answers it.
fn greet(stream: &mut UnixStream, answer: &[u8]) {
    let mut hello = [0; super::HANDSHAKE.len()];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!(hello, *super::HANDSHAKE);
    stream.write_all(answer).unwrap();
}

/// The end of the client's side.
fn drain(mut stream: UnixStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// A message as a manager would send it.
fn message(kind: u8, fields: &[u8], body: &[u8]) -> Vec<u8> {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let mut bytes = vec![b'l', kind, 1, 1];
    bytes.extend([size(body), [9, 0, 0, 0], size(fields)].concat());
    bytes.extend(fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    bytes
}

/// That it answers call 1 with values of type `kind`.
fn fields(kind: &str) -> Vec<u8> {
    let mut fields =
        vec![5, 1, b'u', 0, 1, 0, 0, 0, 8, 1, b'g', 0, u8::try_from(kind.len()).unwrap()];
    fields.extend(kind.as_bytes());
    fields.push(0);
    fields
}

/// A variant that holds a string.
fn variant(text: &str) -> Vec<u8> {
    let mut body = vec![1, b's', 0, 0];
    body.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    body.extend(text.as_bytes());
    body.push(0);
    body
}

/// What a manager is found to be when its server answers with these bytes.
fn find(answer: &[u8]) -> Result<Manager> {
    let serve = |mut stream: UnixStream| {
        greet(&mut stream, OK);
        let mut call = [0; 8];
        stream.read_exact(&mut call).unwrap();
        stream.write_all(answer).unwrap();
        drain(stream);
    };
    beside(serve, |address, patience| Manager::at(vec![address.clone()], patience))
}

#[track_caller]
fn assert_error(error: &Error, kind: ErrorKind, text: &str) {
    assert_eq!((error.kind(), error.stage()), (kind, Stage::Cgroup), "{error}");
    assert!(error.message().contains(text), "{error}");
}

#[test]
fn manager_says_where_its_group_is() {
    let answer = message(RETURN, &fields("v"), &variant("/user.slice/user@1.service"));
    assert_eq!(find(&answer).unwrap().group, Path::new("/user.slice/user@1.service"));
    // Answers to others and signals may come before.
    let mut others = fields("v");
    others[4] = 77;
    let before =
        [message(RETURN, &others, &variant("/x")), message(super::message::SIGNAL, &[], &[])];
    let answer = [before.concat(), answer].concat();
    assert_eq!(find(&answer).unwrap().group, Path::new("/user.slice/user@1.service"));
}

#[test]
fn garbage_after_the_handshake_is_told() {
    for garbage in [
        vec![b'x'; 64],
        message(RETURN, &fields("s"), &variant("/x")),
        message(RETURN, &fields("v"), &variant("relative")),
        message(RETURN, &fields("v"), b"\x01u\0\0\x01\0\0\0"),
        message(RETURN, &fields("v"), b"\x01s\0\0\xff\0\0\0/x\0"),
        [b'l', 2, 0, 1, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0].to_vec(),
    ] {
        let error = find(&garbage).unwrap_err();
        assert_error(&error, ErrorKind::SetupFailed, "does not speak D-Bus");
    }
}

#[test]
fn refusal_is_told_with_its_name_and_words() {
    let mut fields = fields("s");
    fields.resize(fields.len().next_multiple_of(8), 0);
    let name = "org.freedesktop.DBus.Error.AccessDenied";
    fields.extend([4, 1, b's', 0, u8::try_from(name.len()).unwrap(), 0, 0, 0]);
    fields.extend(name.as_bytes());
    fields.push(0);
    let words = [&[3, 0, 0, 0][..], b"no\n\0"].concat();
    let error = find(&message(super::message::ERROR, &fields, &words)).unwrap_err();
    let text = format!("Get(): {name:?}, {:?}", "no\n");
    assert_error(&error, ErrorKind::Denied, &text);
}

#[test]
fn server_that_says_nothing_is_a_timeout() {
    let begun = Instant::now();
    let error = beside(drain, |address, patience| Bus::open(address, patience).unwrap_err());
    assert_error(&error, ErrorKind::Timeout, "no answer in time");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn server_that_never_stops_talking_is_a_timeout() {
    let signal = message(super::message::SIGNAL, &[], &[0; 100]);
    let serve = |mut stream: UnixStream| {
        greet(&mut stream, OK);
        while stream.write_all(&signal).is_ok() {}
    };
    let error = beside(serve, |address, patience| {
        Manager::at(vec![address.clone()], patience).unwrap_err()
    });
    assert_error(&error, ErrorKind::Timeout, "no answer in time");
}

#[test]
fn server_that_does_not_accept_is_a_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private");
    let listener = UnixListener::bind(&path).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _queued = UnixStream::connect(&path).unwrap();
    let patience = Patience { until: Instant::now() + Duration::from_millis(100), cancel: None };
    let error = Bus::open(&at(&path), patience).unwrap_err();
    assert_error(&error, ErrorKind::Timeout, "connect(");
}

#[test]
fn wait_ends_when_it_is_cancelled() {
    let (cancel, other) = std::io::pipe().unwrap();
    drop(other);
    let error = beside(drain, |address, patience| {
        let patience = Patience { cancel: Some(cancel.as_fd()), ..patience };
        Manager::at(vec![address.clone(), address.clone()], patience).unwrap_err()
    });
    assert_eq!((error.kind(), error.stage()), (ErrorKind::Cancelled, Stage::Launch));
    assert_eq!(error.message(), "the start was cancelled");
}

#[test]
fn handshake_that_is_refused_or_none_is_told() {
    let open = |answer: &'static [u8]| {
        let serve = |mut stream: UnixStream| {
            greet(&mut stream, answer);
            drain(stream);
        };
        beside(serve, |address, patience| Bus::open(address, patience).unwrap_err())
    };
    assert_error(&open(b"REJECTED EXTERNAL\r\n"), ErrorKind::Denied, "it was rejected");
    assert_error(&open(b"HTTP/1.1 400\r\n"), ErrorKind::SetupFailed, "no line of an authent");
    assert_error(&open(&[b'x'; LINE + 1]), ErrorKind::SetupFailed, "a line that does not end");
}

#[test]
fn server_that_hangs_up_is_told() {
    let error = beside(drop, |address, patience| Bus::open(address, patience).unwrap_err());
    // The bytes that it did not read, or that came too late.
    assert!(matches!(error.errno(), Some(libc::ECONNRESET | libc::EPIPE)), "{error}");
    let hang_up = |mut stream: UnixStream| greet(&mut stream, OK);
    let error = beside(hang_up, |address, patience| {
        Bus::open(address, patience)
            .and_then(|mut bus| bus.call(&method("Subscribe", ""), &super::Values::default()))
            .unwrap_err()
    });
    assert!(matches!(error.errno(), Some(libc::ECONNRESET | libc::EPIPE)), "{error}");
}

#[test]
fn first_address_that_says_something_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let patience = Patience { until: Instant::now() + Duration::from_secs(1), cancel: None };
    let absent = at(&dir.path().join("absent"));
    let error = Manager::at(vec![absent.clone()], patience).unwrap_err();
    assert_error(&error, ErrorKind::NotFound, "absent");
    assert_eq!(error.errno(), Some(libc::ENOENT));
    let refuse = |mut stream: UnixStream| greet(&mut stream, b"REJECTED\r\n");
    let error = beside(refuse, |address, patience| {
        Manager::at(vec![absent.clone(), address.clone(), absent.clone()], patience).unwrap_err()
    });
    assert_error(&error, ErrorKind::Denied, "it was rejected");
}
