//! D-Bus messages: the calls that are made here as bytes, and bytes that
//! arrive as messages.
//!
//! Host side, no I/O. Only little-endian messages are written and read: all
//! machines this library is built for are, and so is what is on their buses.
//! What arrives is untrusted: sizes are bounded, every read is checked, and
//! what is not as the specification has it is an error that says where.
//!
//! Source: D-Bus Specification 0.43, "Marshaling" and "Message Format".

/// The largest message that is read. Those that this client waits for have
/// some hundred bytes; the specification allows 128 MiB.
const MOST: usize = 1 << 20;

/// Bytes of a message before the header fields.
pub(super) const FIXED: usize = 16;

/// Do not start the addressee if it does not run.
const NO_AUTO_START: u8 = 2;

const CALL: u8 = 1;
pub(super) const RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// Header fields, by their codes.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR_NAME: u8 = 4;
    pub(super) const REPLY_SERIAL: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SIGNATURE: u8 = 8;
}

/// Why bytes are no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbage(pub(super) &'static str);

type Read<T> = Result<T, Garbage>;

/// A method to call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
    pub(super) member: &'static str,
    /// The types of its arguments.
    pub(super) signature: &'static str,
}

impl Method {
    /// The whole message of a call.
    pub(super) fn call(&self, serial: u32, arguments: &Values) -> Vec<u8> {
        let length = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut header = Values(vec![b'l', CALL, NO_AUTO_START, 1]);
        header.u32(length(&arguments.0)).u32(serial);
        header.array(8, |fields| {
            let texts = [
                (field::PATH, "o", self.path),
                (field::MEMBER, "s", self.member),
                (field::INTERFACE, "s", self.interface),
                (field::DESTINATION, "s", self.destination),
            ];
            for (code, kind, text) in texts {
                fields.structure().byte(code).signature(kind).string(text);
            }
            if !self.signature.is_empty() {
                fields.structure().byte(field::SIGNATURE).signature("g").signature(self.signature);
            }
        });
        header.align(8);
        let mut message = header.0;
        message.extend_from_slice(&arguments.0);
        message
    }
}

/// Values being written, each at the alignment of its type.
#[derive(Debug, Default)]
pub(super) struct Values(Vec<u8>);

impl Values {
    fn align(&mut self, to: usize) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
        self
    }

    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    pub(super) fn u32(&mut self, number: u32) -> &mut Self {
        self.align(4).0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(super) fn boolean(&mut self, value: bool) -> &mut Self {
        self.u32(u32::from(value))
    }

    /// A string or an object path.
    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(text.as_bytes());
        self.byte(0)
    }

    /// A signature; also the beginning of a variant, whose value follows.
    pub(super) fn signature(&mut self, text: &str) -> &mut Self {
        self.byte(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(text.as_bytes());
        self.byte(0)
    }

    /// The beginning of a structure.
    pub(super) fn structure(&mut self) -> &mut Self {
        self.align(8)
    }

    /// An array; its elements have the given alignment and are written by
    /// `write`. Its length does not count the padding before the first.
    pub(super) fn array(&mut self, alignment: usize, write: impl FnOnce(&mut Values)) -> &mut Self {
        let end = self.u32(0).0.len();
        let begin = self.align(alignment).0.len();
        write(self);
        let length = u32::try_from(self.0.len() - begin).unwrap_or(u32::MAX);
        self.0[end - 4..end].copy_from_slice(&length.to_le_bytes());
        self
    }
}

/// A message that has arrived.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// The call that this answers.
    pub(super) reply_to: Option<u32>,
    pub(super) interface: Option<String>,
    pub(super) member: Option<String>,
    pub(super) error: Option<String>,
    pub(super) signature: String,
    body: Vec<u8>,
}

impl Message {
    /// Whether a whole message has this length, by its first bytes.
    pub(super) fn length(fixed: &[u8; FIXED]) -> Read<usize> {
        if fixed[0] != b'l' || fixed[3] != 1 {
            return Err(Garbage("no little-endian message of version 1"));
        }
        let mut numbers = Reader { bytes: fixed, at: 4 };
        let (body, _serial, fields) = (numbers.size()?, numbers.u32()?, numbers.size()?);
        let header = FIXED.saturating_add(fields).next_multiple_of(8);
        match header.checked_add(body) {
            Some(length) if length <= MOST => Ok(length),
            _ => Err(Garbage("a message that is too long")),
        }
    }

    /// Reads a message of the length that [`Message::length`] has said.
    pub(super) fn parse(bytes: &[u8]) -> Read<Message> {
        let mut header = Reader { bytes, at: 4 };
        let body = header.size()?;
        let _serial = header.u32()?;
        let mut message = Message { kind: bytes[1], ..Message::default() };
        let end = header.size()?.saturating_add(FIXED);
        while header.at < end {
            header.align(8)?;
            let code = header.byte()?;
            match (code, header.signature()?) {
                (field::INTERFACE, "s") => message.interface = Some(header.string()?.into()),
                (field::MEMBER, "s") => message.member = Some(header.string()?.into()),
                (field::ERROR_NAME, "s") => message.error = Some(header.string()?.into()),
                (field::REPLY_SERIAL, "u") => message.reply_to = Some(header.u32()?),
                (field::SIGNATURE, "g") => message.signature = header.signature()?.into(),
                (_, "s" | "o") => drop(header.string()?),
                (_, "u") => drop(header.u32()?),
                _ => return Err(Garbage("a header field of an unknown type")),
            }
        }
        header.align(8)?;
        if header.at.checked_add(body) != Some(bytes.len()) {
            return Err(Garbage("header fields longer than they say"));
        }
        message.body = bytes[header.at..].to_vec();
        Ok(message)
    }

    /// The values, which must have these types.
    pub(super) fn values(&self, signature: &str) -> Read<Reader<'_>> {
        match self.signature == signature {
            true => Ok(Reader { bytes: &self.body, at: 0 }),
            false => Err(Garbage("values of other types")),
        }
    }
}

/// Values being read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let (taken, _) = rest.split_at_checked(length).ok_or(Garbage("a value that is cut"))?;
        self.at += length;
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> Read<()> {
        let padding = self.take(self.at.next_multiple_of(to) - self.at)?;
        match padding.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(Garbage("padding that is not zero")),
        }
    }

    fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into().map_err(|_| Garbage("a value that is cut"))?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn size(&mut self) -> Read<usize> {
        usize::try_from(self.u32()?).map_err(|_| Garbage("a size that is too large"))
    }

    /// A string or an object path.
    pub(super) fn string(&mut self) -> Read<&'a str> {
        let length = self.size()?;
        self.text(length)
    }

    /// A signature; also the beginning of a variant.
    pub(super) fn signature(&mut self) -> Read<&'a str> {
        let length = self.byte()?;
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Read<&'a str> {
        let text = self.take(length)?;
        if self.byte()? != 0 || text.contains(&0) {
            return Err(Garbage("a string that does not end where it should"));
        }
        std::str::from_utf8(text).map_err(|_| Garbage("a string that is no UTF-8"))
    }
}

#[cfg(test)]
mod tests;
