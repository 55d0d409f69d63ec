//! Writes the plan: the flat bytes that the helper executes. The format is in
//! crate `libctr-helper`, `plan.rs`.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libctr_helper::plan::{Field, HEADER, Kind, MAGIC, VERSION};

/// A plan being written.
#[derive(Debug)]
pub(crate) struct Plan {
    fields: [u64; Field::ALL.len()],
    records: Vec<u8>,
    count: u32,
    flags: u64,
}

impl Plan {
    pub(crate) fn new() -> Plan {
        Plan {
            fields: [Field::ABSENT; Field::ALL.len()],
            records: Vec::with_capacity(8192),
            count: 0,
            flags: 0,
        }
    }

    /// Sets a number; one that is not set stays absent.
    pub(crate) fn set(&mut self, field: Field, value: impl Into<u64>) {
        self.fields[field as usize] = value.into();
    }

    /// Sets a descriptor.
    pub(crate) fn descriptor(&mut self, field: Field, fd: BorrowedFd<'_>) {
        self.set(field, fd.as_raw_fd().cast_unsigned());
    }

    /// Sets a bit of the flags.
    pub(crate) fn flag(&mut self, flag: u64, on: bool) {
        if on {
            self.flags |= flag;
        }
    }

    /// Takes bits of the flags back.
    pub(crate) fn without(&mut self, flags: u64) {
        self.flags &= !flags;
    }

    /// Appends a record; `write` appends its payload.
    pub(crate) fn record(&mut self, kind: Kind, write: impl FnOnce(&mut Payload<'_>)) {
        self.records.extend_from_slice(&u32::from(kind as u16).to_le_bytes());
        let length_at = self.records.len();
        self.records.extend_from_slice(&[0; 4]);
        write(&mut Payload(&mut self.records));
        let length = self.records.len() - length_at - 4;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.records[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        self.records.resize(self.records.len().next_multiple_of(8), 0);
        self.count += 1;
    }

    /// The bytes as the helper reads them.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let size = HEADER + self.fields.len() * 8 + self.records.len();
        let mut bytes = Vec::with_capacity(size);
        let length = u32::try_from(size).unwrap_or(u32::MAX);
        for number in [MAGIC, VERSION, length, self.count] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (index, field) in self.fields.iter().enumerate() {
            let value = if index == Field::Flags as usize { &self.flags } else { field };
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&self.records);
        bytes
    }
}

/// The payload of one record.
#[derive(Debug)]
pub(crate) struct Payload<'a>(&'a mut Vec<u8>);

impl Payload<'_> {
    pub(crate) fn u32(&mut self, number: u32) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(crate) fn u64(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// A string, which ends at its first NUL: what comes from a caller or an
    /// image was checked for NULs when it was read.
    pub(crate) fn string(&mut self, text: impl AsRef<OsStr>) -> &mut Self {
        let bytes = text.as_ref().as_bytes();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        self.0.extend_from_slice(&bytes[..end]);
        self.0.push(0);
        self
    }

    pub(crate) fn path(&mut self, path: &Path) -> &mut Self {
        self.string(path)
    }

    /// Bytes alone.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes with their length before them.
    pub(crate) fn contents(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;
    use libctr_helper::plan::{self, Field, Kind};

    #[test]
    fn plan_is_read_back_as_it_was_written() {
        let mut written = Plan::new();
        written.set(Field::Uid, 1000_u32);
        written.flag(plan::flag::INIT, true);
        written.flag(plan::flag::LOOPBACK, false);
        written.record(Kind::Hostname, |body| {
            body.string("box");
        });
        written.record(Kind::File, |body| {
            body.u32(0o644).string("etc/hostname").contents(b"box\n");
        });
        let bytes = written.to_bytes();

        let read = plan::Plan::new(&bytes).expect("a plan");
        assert_eq!(read.get(Field::Uid), Some(1000));
        assert_eq!(read.get(Field::Gid), None);
        assert!(read.has(plan::flag::INIT));
        assert!(!read.has(plan::flag::LOOPBACK));
        let kinds: Vec<_> = read.records().map(|record| (record.index, record.kind)).collect();
        assert_eq!(kinds, [(0, Kind::Hostname), (1, Kind::File)]);
        let mut file = read.of(Kind::File).next().expect("a record");
        assert_eq!(file.u32(), Some(0o644));
        assert_eq!(file.string(), Some(c"etc/hostname"));
        let length = file.u32().and_then(|length| usize::try_from(length).ok());
        assert_eq!(length.and_then(|length| file.bytes(length)), Some(&b"box\n"[..]));
        assert_eq!(file.u32(), None);
    }

    #[test]
    fn plan_may_have_more_records_than_an_index_counts() {
        let mut written = Plan::new();
        for _ in 0..70_000 {
            written.record(Kind::Argument, |body| {
                body.string("x");
            });
        }
        let bytes = written.to_bytes();
        let read = plan::Plan::new(&bytes).expect("a plan");
        assert_eq!(read.of(Kind::Argument).count(), 70_000);
        let last = read.records().last().map(|record| record.index);
        assert_eq!(last, Some(libctr_helper::fault::Fault::NO_RECORD));
    }

    #[test]
    fn plan_cut_anywhere_is_none() {
        let mut written = Plan::new();
        written.record(Kind::Argument, |body| {
            body.string("true");
        });
        let bytes = written.to_bytes();
        for end in 0..bytes.len() {
            assert!(plan::Plan::new(&bytes[..end]).is_none(), "{end}");
        }
    }
}
