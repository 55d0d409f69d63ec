//! A plan being read, in place.

use core::ffi::CStr;

use super::{Field, HEADER, Kind, MAGIC, VERSION};

/// A borrowed view of a plan's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    fields: &'a [u8],
    records: &'a [u8],
}

impl<'a> Plan<'a> {
    /// A view of `bytes`; `None` unless they are a whole plan of this version.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Plan<'a>> {
        let mut header = Body { bytes };
        let (magic, version) = (header.u32()?, header.u32()?);
        let (length, records) = (usize::try_from(header.u32()?).ok()?, header.u32()?);
        if magic != MAGIC || version != VERSION || length > bytes.len() {
            return None;
        }
        let bytes = bytes.get(HEADER..length)?;
        let (fields, records_bytes) = bytes.split_at_checked(Field::ALL.len().checked_mul(8)?)?;
        let plan = Plan { fields, records: records_bytes };
        (plan.records().count() == usize::try_from(records).ok()?).then_some(plan)
    }

    /// The value of a field; `None` where it is not set.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<u64> {
        let at = (field as usize).checked_mul(8)?;
        let value = Body { bytes: self.fields.get(at..)? }.u64()?;
        (value != Field::ABSENT).then_some(value)
    }

    /// Whether a bit of [`Field::Flags`] is set.
    #[must_use]
    pub fn has(&self, flag: u64) -> bool {
        self.get(Field::Flags).is_some_and(|flags| flags & flag != 0)
    }

    /// The records, in order.
    #[must_use]
    pub fn records(&self) -> Records<'a> {
        Records { rest: self.records, index: 0 }
    }

    /// The payloads of the records of one kind, in order.
    pub fn of(self, kind: Kind) -> impl Iterator<Item = Body<'a>> {
        self.records().filter(move |record| record.kind == kind).map(|record| record.body)
    }
}

/// One record of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its place among all records, for [`crate::fault::Fault::index`]. Those
    /// from [`crate::fault::Fault::NO_RECORD`] on have that.
    pub index: u16,
    /// What it says.
    pub kind: Kind,
    /// Its payload.
    pub body: Body<'a>,
}

/// Iterator over the records of a plan; ends at the first one that is cut.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: u16,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let mut head = Body { bytes: self.rest };
        let numbers = head.u32()?;
        let kind = Kind::from_number(u16::try_from(numbers).ok()?)?;
        let length = usize::try_from(head.u32()?).ok()?;
        let (payload, _) = head.bytes.split_at_checked(length)?;
        let index = self.index;
        self.rest = head.bytes.get(length.checked_next_multiple_of(8)?..)?;
        self.index = index.saturating_add(1);
        Some(Record { index, kind, body: Body { bytes: payload } })
    }
}

/// A payload being read from its front.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    bytes: &'a [u8],
}

impl<'a> Body<'a> {
    /// The next number.
    pub fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.bytes.split_first_chunk::<4>()?;
        self.bytes = rest;
        Some(u32::from_le_bytes(*number))
    }

    /// The next number.
    pub fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.bytes.split_first_chunk::<8>()?;
        self.bytes = rest;
        Some(u64::from_le_bytes(*number))
    }

    /// The next string.
    pub fn string(&mut self) -> Option<&'a CStr> {
        let string = CStr::from_bytes_until_nul(self.bytes).ok()?;
        self.bytes = self.bytes.get(string.count_bytes().checked_add(1)?..)?;
        Some(string)
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(bytes)
    }
}
