//! One entry of a tar archive, all its headers merged.
//!
//! Stage `image`, host process. Values are as the archive gives them: paths
//! are not cleaned, owners are not mapped; `unpack` decides about both.
//!
//! Errors: `image`, invalid input.

use tar::{EntryType, Header};

use super::number::{number, unsigned};
use super::pax::Pax;
use crate::error::Result;
use crate::image::bad;
use crate::image::unpack::attributes::Time;

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    Hardlink,
    Fifo,
    Character,
    Block,
}

/// A piece of a sparse file that has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// One entry. Its data is read from the archive that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) path: Vec<u8>,
    /// Target of a symbolic or hard link, else empty.
    pub(crate) link: Vec<u8>,
    /// Permission bits, set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: Time,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of the file, holes included.
    pub(crate) size: u64,
    /// Where the data goes in a sparse file; `None`: all of it, in order.
    pub(crate) sparse: Option<Vec<Segment>>,
}

impl Entry {
    /// Merges header, pax records and GNU long names. The size is not set.
    pub(super) fn new(
        header: &Header,
        pax: &Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry> {
        let path = name("path", header.path_bytes().into_owned(), long_name, pax)?;
        let short_link = header.link_name_bytes().unwrap_or_default().into_owned();
        let mut link = name("linkpath", short_link, long_link, pax)?;
        let old = header.as_old();
        let kind = match header.entry_type() {
            // Archives of the seventh edition mark directories by the slash.
            EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Link => Kind::Hardlink,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => Kind::Character,
            EntryType::Block => Kind::Block,
            other => {
                let (path, byte) = (String::from_utf8_lossy(&path).into_owned(), other.as_byte());
                return Err(bad(format!(
                    "tar: {path:?} has the unknown type {:?}",
                    char::from(byte)
                )));
            }
        };
        if !matches!(kind, Kind::Symlink | Kind::Hardlink) {
            link.clear();
        }
        let device =
            if matches!(kind, Kind::Character | Kind::Block) { device(header)? } else { (0, 0) };
        let mtime = match pax.time("mtime")? {
            Some(time) => time,
            None => {
                // Dates before 1970 come as negative binary numbers.
                Time { seconds: number("mtime", &old.mtime)?, nanoseconds: 0 }
            }
        };
        Ok(Entry {
            kind,
            path,
            link,
            mode: u32::try_from(unsigned("mode", &old.mode)? & 0o7777).unwrap_or(0),
            uid: or_header(pax.number("uid")?, || unsigned("uid", &old.uid))?,
            gid: or_header(pax.number("gid")?, || unsigned("gid", &old.gid))?,
            mtime,
            device,
            xattrs: pax.xattrs()?,
            size: 0,
            sparse: None,
        })
    }

    /// The segments must be in order, inside the file, and be `stored` bytes.
    pub(super) fn check_sparse(&self, stored: u64) -> Result<()> {
        let Some(segments) = &self.sparse else {
            return Ok(());
        };
        let (mut end, mut sum) = (0, 0_u64);
        for segment in segments {
            let next = segment.offset.checked_add(segment.length);
            match next {
                Some(next) if segment.offset >= end && next <= self.size => end = next,
                _ => {
                    return Err(bad("tar: a sparse map that is not in order or leaves its file"));
                }
            }
            sum += segment.length;
        }
        if sum != stored {
            return Err(bad("tar: a sparse map that does not match the data"));
        }
        Ok(())
    }
}

fn or_header(value: Option<u64>, header: impl FnOnce() -> Result<u64>) -> Result<u64> {
    value.map_or_else(header, Ok)
}

/// Device numbers stand in ustar and GNU headers only.
fn device(header: &Header) -> Result<(u32, u32)> {
    let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
        (_, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
        _ => return Err(bad("tar: a device in an archive without device numbers")),
    };
    let major = unsigned("device number", major)?;
    let minor = unsigned("device number", minor)?;
    let small = |n| u32::try_from(n).map_err(|_| bad("tar: a device number that is too large"));
    Ok((small(major)?, small(minor)?))
}

/// A name from up to three places. GNU long names and pax records that say
/// different things are refused: programs do not agree which one counts.
fn name(key: &str, short: Vec<u8>, long: Option<Vec<u8>>, pax: &Pax) -> Result<Vec<u8>> {
    if pax.is_blank(key) {
        // Some programs take it as no name, others as no record.
        return Err(bad(format!("tar: a pax record with an empty {key}")));
    }
    let name = match (long, pax.get(key)) {
        (Some(long), Some(record)) if long != record => {
            return Err(bad(format!("tar: two different {key}s for one entry")));
        }
        (Some(long), _) => long,
        (None, Some(record)) => record.to_vec(),
        (None, None) => short,
    };
    if name.contains(&0) {
        return Err(bad(format!("tar: a NUL byte in a {key}")));
    }
    Ok(name)
}
