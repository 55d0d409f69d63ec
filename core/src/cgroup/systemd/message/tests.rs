use proptest::prelude::{any, prop_oneof, proptest};

use super::{ERROR, FIXED, Garbage, Message, Method, RETURN, SIGNAL, Values};

/// What systemd's own client (busctl 252) sends for the same call, but for the
/// flags: it allows to ask for a password, and to start the addressee.
const START: &str = "\
    6c0104018000000002000000b600000001016f00190000002f6f72672f667265656465736b746f702f737973\
    74656d643100000000000000030173001200000053746172745472616e7369656e74556e6974000000000000\
    02017300200000006f72672e667265656465736b746f702e73797374656d64312e4d616e6167657200000000\
    0000000006017300180000006f72672e667265656465736b746f702e73797374656d64310000000000000000\
    0801670010737361287376296128736128737629290000000f0000006c69626374722d31662e73636f706500\
    040000006661696c00000000500000000000000005000000536c69636500017300000000090000006170702e\
    736c6963650000000800000044656c6567617465000162000100000000000000040000005049447300026175\
    00000000040000004d0000000000000000000000";

const METHOD: Method = Method {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "StartTransientUnit",
    signature: "ssa(sv)a(sa(sv))",
};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn start() -> Vec<u8> {
    let mut values = Values::default();
    values.string("libctr-1f.scope").string("fail");
    values.array(8, |properties| {
        properties.structure().string("Slice").signature("s").string("app.slice");
        properties.structure().string("Delegate").signature("b").boolean(true);
        properties.structure().string("PIDs").signature("au").array(4, |pids| {
            pids.u32(77);
        });
    });
    values.array(8, |_| {});
    METHOD.call(2, &values)
}

#[test]
fn call_is_what_systemds_own_client_sends() {
    let mut expected = bytes(START);
    expected[2] = super::NO_AUTO_START;
    assert_eq!(start(), expected);
}

#[test]
fn call_without_arguments_has_no_signature() {
    let hello = Method {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        signature: "",
    };
    let mut expected = bytes(
        "6c01000100000000010000006d00000001016f00150000002f6f72672f667265656465736b746f702f4442\
         7573000000030173000500000048656c6c6f00000002017300140000006f72672e66726565646573\
         6b746f702e444275730000000006017300140000006f72672e667265656465736b746f702e44427573\
         00000000",
    );
    expected[2] = super::NO_AUTO_START;
    assert_eq!(hello.call(1, &Values::default()), expected);
}

#[test]
fn own_call_reads_back() {
    let message = Message::parse(&start()).unwrap();
    assert_eq!(message.member.as_deref(), Some("StartTransientUnit"));
    assert_eq!(message.interface.as_deref(), Some(METHOD.interface));
    assert_eq!((message.kind, message.reply_to), (super::CALL, None));
    let mut values = message.values("ssa(sv)a(sa(sv))").unwrap();
    assert_eq!(values.string(), Ok("libctr-1f.scope"));
    assert_eq!(values.string(), Ok("fail"));
    assert_eq!(message.values("s").unwrap_err(), Garbage("values of other types"));
}

#[test]
fn length_is_known_from_the_first_bytes() {
    let whole = start();
    assert_eq!(Message::length(whole.first_chunk().unwrap()), Ok(whole.len()));
    let mut first = *whole.first_chunk::<FIXED>().unwrap();
    first[0] = b'B';
    assert!(Message::length(&first).is_err());
    first[0] = b'l';
    for at in [4, 12] {
        let mut first = first;
        first[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Message::length(&first), Err(Garbage("a message that is too long")));
    }
}

#[test]
fn message_cut_anywhere_is_an_error() {
    let whole = start();
    for end in FIXED..whole.len() {
        assert!(Message::parse(&whole[..end]).is_err(), "{end}");
    }
}

#[test]
fn strings_that_lie_about_their_end_are_refused() {
    let whole = start();
    let at = whole.windows(7).position(|window| window == b"systemd").unwrap();
    let mut hole = whole.clone();
    hole[at] = 0;
    assert!(Message::parse(&hole).is_err());
    let mut bytes = whole;
    bytes[at] = 0xff;
    assert_eq!(Message::parse(&bytes), Err(Garbage("a string that is no UTF-8")));
}

proptest! {
    /// Neither random bytes nor a message with some bytes changed can do
    /// more than be refused.
    #[test]
    fn hostile_bytes_are_read_or_refused(
        mut bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), FIXED..200),
            proptest::strategy::Just(start()),
        ],
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
    ) {
        let length = bytes.len();
        for (at, byte) in changes {
            bytes[at % length] = byte;
        }
        let _ = Message::length(bytes.first_chunk().unwrap());
        if let Ok(message) = Message::parse(&bytes)
            && [RETURN, ERROR, SIGNAL].contains(&message.kind)
            && let Ok(mut values) = message.values(&message.signature)
        {
            let _ = (values.signature(), values.string(), values.u32(), values.string());
        }
    }
}
