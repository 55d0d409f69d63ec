//! Pax extended header records, and the sparse maps that GNU tar puts there.
//!
//! Stage `image`, host process. A record is `LENGTH KEY=VALUE\n`; the value may
//! hold any byte, newlines too (extended attributes do), so only the length
//! says where it ends. Malformed records are errors, never skipped: a parser
//! that goes on behind them sees other entries than this one.
//!
//! Errors: `image`, invalid input.
//! Sources: POSIX pax, "pax Extended Header"; GNU tar manual, "PAX Format,
//! Versions 0.0, 0.1 and 1.0"; CVE-2025-62518.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::Segment;
use crate::error::Result;
use crate::image::bad;
use crate::image::limits::exceeded;
use crate::image::unpack::attributes::Time;

/// Attributes of one file: more than any file system keeps.
const XATTRS: usize = 1000;

/// The records of one extended header, in their order.
#[derive(Debug, Default)]
pub(super) struct Pax {
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A sparse file as pax records describe it.
pub(super) struct Sparse {
    pub(super) real_size: u64,
    pub(super) name: Option<Vec<u8>>,
    /// `None`: the map precedes the data.
    pub(super) map: Option<Vec<Segment>>,
}

impl Pax {
    pub(super) fn parse(mut text: &[u8]) -> Result<Pax> {
        let malformed = || bad("tar: malformed pax record");
        let mut records = Vec::new();
        while !text.is_empty() {
            let space =
                text.iter().take(20).position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let length = usize::try_from(decimal(&text[..space])?).map_err(|_| malformed())?;
            if length <= space + 1 || length > text.len() {
                return Err(malformed());
            }
            let (record, rest) = text.split_at(length);
            let record = record[space + 1..].strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if key.is_empty() || key.contains(&0) {
                return Err(malformed());
            }
            records.push((key.to_vec(), value.to_vec()));
            text = rest;
        }
        Ok(Pax { records })
    }

    /// Global records must not change what the entries are: few programs
    /// apply them, so the same archive would mean different things.
    pub(super) fn check_global(&self) -> Result<()> {
        for (key, _) in &self.records {
            if matches!(key.as_slice(), b"path" | b"linkpath" | b"size" | b"uid" | b"gid")
                || key.starts_with(b"GNU.sparse.")
                || key.starts_with(b"SCHILY.xattr.")
            {
                let key = String::from_utf8_lossy(key).into_owned();
                return Err(bad(format!("tar: a global pax record {key:?}")));
            }
        }
        Ok(())
    }

    /// The value of `key`: the last one counts, an empty one means none.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.records.iter().rev().find(|(name, _)| name == key.as_bytes());
        found.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    /// Whether the value of `key` is empty, which is not the same as no record.
    pub(super) fn is_blank(&self, key: &str) -> bool {
        let found = self.records.iter().rev().find(|(name, _)| name == key.as_bytes());
        found.is_some_and(|(_, value)| value.is_empty())
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>> {
        self.get(key).map(decimal).transpose()
    }

    /// A time: seconds, perhaps negative, perhaps with a fraction.
    pub(super) fn time(&self, key: &str) -> Result<Option<Time>> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut parts = text.splitn(2, |byte| *byte == b'.');
        let whole = decimal(parts.next().unwrap_or_default())?;
        let fraction: Vec<u8> = parts.next().unwrap_or_default().to_vec();
        if !fraction.iter().all(u8::is_ascii_digit) {
            return Err(bad("tar: a time that is no number"));
        }
        let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
        let nanoseconds = digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let seconds = i64::try_from(whole).map_err(|_| bad("tar: a time that is too large"))?;
        Ok(Some(match (negative, nanoseconds) {
            (false, _) => Time { seconds, nanoseconds },
            (true, 0) => Time { seconds: -seconds, nanoseconds },
            (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
        }))
    }

    /// Extended attributes: `SCHILY.xattr.NAME` as GNU tar, star and Go write
    /// them, `LIBARCHIVE.xattr.NAME` (base64) where the former is absent.
    pub(super) fn xattrs(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (key, value) in &self.records {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                found.insert(name.to_vec(), value.clone());
            }
        }
        for (key, value) in &self.records {
            if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                let text = value.strip_suffix(b"==").or(value.strip_suffix(b"=")).unwrap_or(value);
                let value = STANDARD_NO_PAD.decode(text);
                let value = value.map_err(|_| bad("tar: an attribute that is no base64"))?;
                found.entry(name.to_vec()).or_insert(value);
            }
        }
        if found.len() > XATTRS {
            return Err(exceeded("an entry with too many attributes", XATTRS));
        }
        Ok(found.into_iter().collect())
    }

    /// The description of a sparse file, where there is one.
    pub(super) fn sparse(&self) -> Result<Option<Sparse>> {
        let name = self.get("GNU.sparse.name").map(<[u8]>::to_vec);
        let incomplete = || bad("tar: incomplete pax records of a sparse file");
        if let Some(major) = self.number("GNU.sparse.major")? {
            if (major, self.number("GNU.sparse.minor")?) != (1, Some(0)) {
                return Err(bad("tar: a sparse format newer than 1.0"));
            }
            let real_size = self.number("GNU.sparse.realsize")?.ok_or_else(incomplete)?;
            return Ok(Some(Sparse { real_size, name, map: None }));
        }
        let Some(real_size) = self.number("GNU.sparse.size")? else {
            let stray = self.records.iter().any(|(key, _)| key.starts_with(b"GNU.sparse."));
            return if stray { Err(incomplete()) } else { Ok(None) };
        };
        let numbers: Vec<u64> = match self.get("GNU.sparse.map") {
            Some(map) => map.split(|byte| *byte == b',').map(decimal).collect::<Result<_>>()?,
            None => (self.records.iter())
                .filter(|(key, _)| {
                    matches!(key.as_slice(), b"GNU.sparse.offset" | b"GNU.sparse.numbytes")
                })
                .map(|(_, value)| decimal(value))
                .collect::<Result<_>>()?,
        };
        let map = segments(&numbers)?;
        let count = self.number("GNU.sparse.numblocks")?;
        if count != u64::try_from(map.len()).ok() {
            return Err(incomplete());
        }
        Ok(Some(Sparse { real_size, name, map: Some(map) }))
    }
}

/// Reads the map of format 1.0: decimal numbers, one a line, the first one
/// their pairs' count, padded to whole blocks.
pub(super) fn map_in_data(
    read: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    limit: u64,
) -> Result<Vec<Segment>> {
    let mut numbers: Vec<u64> = Vec::new();
    let (mut line, mut wanted, mut bytes) = (Vec::new(), 1, 0);
    while numbers.len() < wanted {
        let mut block = [0; 512];
        read(&mut block)?;
        bytes += 512;
        if bytes > limit {
            return Err(exceeded("a sparse map that is too long", limit));
        }
        for byte in block {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            numbers.push(decimal(&std::mem::take(&mut line))?);
            if let [count] = numbers.as_slice() {
                let pairs =
                    usize::try_from(*count).ok().and_then(|n| n.checked_mul(2)?.checked_add(1));
                wanted = pairs.ok_or_else(|| bad("tar: a sparse map that is too long"))?;
            }
            if numbers.len() >= wanted {
                break;
            }
        }
    }
    segments(&numbers[1..])
}

fn segments(numbers: &[u64]) -> Result<Vec<Segment>> {
    let pairs = numbers.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(bad("tar: half a pair in a sparse map"));
    }
    Ok(pairs.map(|pair| Segment { offset: pair[0], length: pair[1] }).collect())
}

/// A decimal number without sign, spaces or anything else.
fn decimal(text: &[u8]) -> Result<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number =
        std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    number.ok_or_else(|| {
        let text = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
        bad(format!("tar: {text:?} in an extended header is no number"))
    })
}
