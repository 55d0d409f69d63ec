//! Reading tar archives, entry by entry.
//!
//! Stage `image`, host process (also its worker threads). The 512-byte header
//! is decoded by crate `tar`; what spans several blocks (GNU long names, pax
//! records, sparse maps) is put together here, because it must be bounded
//! before it is read and because pax values may hold any byte. Where parsers
//! are known to disagree about what an archive says, it is refused.
//!
//! Data shape: a stream of [`Entry`] values; the data of the current entry is
//! read through [`Archive`] itself, without its padding.
//! Errors: `image`, invalid input.
//! Sources: tar(5), POSIX pax "pax Interchange Format", GNU tar manual
//! "Storing Sparse Files", Go's archive/tar (what image builders write).

use std::io::{self, Read};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use crate::error::Result;
use crate::image::limits::Limits;
use crate::image::{bad, unwrap_io};

mod entry;
mod number;
mod pax;

pub(crate) use entry::{Entry, Kind, Segment};
use number::unsigned;
use pax::Pax;

const BLOCK: u64 = 512;

/// A tar stream that is being read.
#[derive(Debug)]
pub(crate) struct Archive<'l, R> {
    reader: R,
    limits: &'l Limits,
    /// Bytes of data of the current entry that were not read yet.
    remaining: u64,
    /// Bytes after them up to the next header.
    padding: u64,
    ended: bool,
}

/// What precedes a header and belongs to it.
#[derive(Default)]
struct Prefix {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

impl Prefix {
    fn is_there(&self) -> bool {
        self.name.is_some() || self.link.is_some() || self.pax.is_some()
    }
}

impl<R: Read> Read for Archive<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        if n == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..n])?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.remaining -= u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }
}

impl<'l, R: Read> Archive<'l, R> {
    pub(crate) fn new(reader: R, limits: &'l Limits) -> Archive<'l, R> {
        Archive { reader, limits, remaining: 0, padding: 0, ended: false }
    }

    /// The next file, directory, link or device; what is left of the current
    /// one is skipped. `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut prefix = Prefix::default();
        loop {
            let Some(header) = self.header()? else {
                if prefix.is_there() {
                    return Err(bad("tar: the archive ends after an extended header"));
                }
                return Ok(None);
            };
            let kind = header.entry_type();
            let size = number::size(&header.as_old().size)?;
            let plain = header.as_ustar().is_none() && header.as_gnu().is_none();
            if plain && !matches!(kind.as_byte(), 0 | b'0'..=b'7') {
                return Err(bad("tar: an extended header in an archive of the oldest format"));
            }
            match kind {
                EntryType::GNULongName => once(&mut prefix.name, self.long_name(size)?)?,
                EntryType::GNULongLink => once(&mut prefix.link, self.long_name(size)?)?,
                EntryType::XHeader => {
                    let records = Pax::parse(&self.extended(size)?)?;
                    once(&mut prefix.pax, records)?;
                }
                EntryType::XGlobalHeader => Pax::parse(&self.extended(size)?)?.check_global()?,
                // The volume label of `tar --label`: a name, no file.
                other if other.as_byte() == b'V' => {
                    if prefix.is_there() || size != 0 {
                        return Err(bad("tar: a volume label with data or an extended header"));
                    }
                }
                _ => return self.entry(&header, size, prefix).map(Some),
            }
        }
    }

    /// Reads on to the end of the stream, so that a digest of it is whole, and
    /// gives the reader back.
    pub(crate) fn finish(mut self) -> Result<R> {
        io::copy(&mut self.reader, &mut io::sink()).map_err(|error| unwrap_io("read", error))?;
        Ok(self.reader)
    }

    fn entry(&mut self, header: &Header, size: u64, prefix: Prefix) -> Result<Entry> {
        let pax = prefix.pax.unwrap_or_default();
        let mut entry = Entry::new(header, &pax, prefix.name, prefix.link)?;
        if pax.is_blank("size") {
            return Err(bad("tar: a pax record with an empty size"));
        }
        let stored = pax.number("size")?.unwrap_or(size);
        if entry.kind != Kind::File {
            if stored != 0 {
                // Some parsers skip these bytes, others read headers in them.
                let name = String::from_utf8_lossy(&entry.path).into_owned();
                return Err(bad(format!(
                    "tar: {name:?} is no regular file but has {stored} bytes"
                )));
            }
            self.data(0)?;
            return Ok(entry);
        }
        entry.size = stored;
        if header.entry_type() == EntryType::GNUSparse {
            self.gnu_sparse(header, &mut entry)?;
            self.data(stored)?;
        } else {
            self.data(stored)?;
            self.pax_sparse(&pax, &mut entry)?;
        }
        entry.check_sparse(self.remaining)?;
        Ok(entry)
    }

    /// Starts the data of an entry.
    fn data(&mut self, size: u64) -> Result<()> {
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK;
        match size.checked_add(BLOCK) {
            Some(_) => Ok(()),
            None => Err(bad("tar: an entry's size does not fit 64 bits")),
        }
    }

    /// A GNU long name, up to its NUL. Where there is none, some programs read
    /// on behind the data.
    fn long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.extended(size)?;
        let end = name.iter().position(|byte| *byte == 0);
        name.truncate(end.ok_or_else(|| bad("tar: a long name without an end"))?);
        Ok(name)
    }

    /// The data of an extended header, as a whole.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > self.limits.extended {
            let limit = self.limits.extended;
            return Err(crate::image::limits::exceeded(
                "an extended tar header that is too long",
                limit,
            ));
        }
        self.data(size)?;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|error| unwrap_io("tar", error))?;
        Ok(bytes)
    }

    /// The next header block with a good checksum; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>> {
        if self.ended {
            return Ok(None);
        }
        let rest = self.remaining + self.padding;
        let skipped = io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink())
            .map_err(|error| unwrap_io("tar", error))?;
        if skipped != rest {
            return Err(bad("tar: the archive ends in the middle of an entry"));
        }
        (self.remaining, self.padding) = (0, 0);
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            self.ended = true;
            return Ok(None);
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            let mut second = [0; 512];
            if self.block(&mut second)? && second.iter().any(|byte| *byte != 0) {
                return Err(bad("tar: data follows a single block of zeros"));
            }
            self.ended = true;
            return Ok(None);
        }
        let bytes = header.as_bytes();
        let sum = bytes[..148].iter().chain(&bytes[156..]).fold(256, |sum, b| sum + u32::from(*b));
        if unsigned("checksum", &header.as_old().cksum).ok() != Some(u64::from(sum)) {
            return Err(bad("tar: wrong header checksum, this is no tar archive or it is damaged"));
        }
        let known = header.as_ustar().is_some() || header.as_gnu().is_some();
        if bytes[257..].starts_with(b"ustar") && !known {
            // Programs do not agree whether such a header has a prefix.
            return Err(bad("tar: an unknown version of the header"));
        }
        number::check(&header)?;
        Ok(Some(header))
    }

    /// Fills one block; `false` when the stream ends before its first byte.
    fn block(&mut self, block: &mut [u8]) -> Result<bool> {
        let mut filled = 0;
        while filled < block.len() {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(bad("tar: the archive ends in the middle of a header")),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unwrap_io("tar", error)),
            }
        }
        Ok(true)
    }

    fn gnu_sparse(&mut self, header: &Header, entry: &mut Entry) -> Result<()> {
        let Some(gnu) = header.as_gnu() else {
            return Err(bad("tar: a sparse file without a GNU header"));
        };
        let mut segments = Vec::new();
        let limit = self.limits.extended / 16;
        let mut add = |list: &[GnuSparseHeader]| -> Result<()> {
            for block in list.iter().filter(|block| !block.is_empty()) {
                let offset = unsigned("sparse map", &block.offset)?;
                let length = unsigned("sparse map", &block.numbytes)?;
                segments.push(Segment { offset, length });
            }
            if u64::try_from(segments.len()).unwrap_or(u64::MAX) > limit {
                return Err(crate::image::limits::exceeded("a sparse map that is too long", limit));
            }
            Ok(())
        };
        add(&gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut extension = GnuExtSparseHeader::new();
            if !self.block(extension.as_mut_bytes())? {
                return Err(bad("tar: the archive ends in a sparse map"));
            }
            add(extension.sparse())?;
            more = extension.is_extended();
        }
        entry.size = unsigned("real size", &gnu.realsize)?;
        entry.sparse = Some(segments);
        Ok(())
    }

    /// The pax forms of sparse files: the map in the records (0.0, 0.1) or in
    /// front of the data (1.0).
    fn pax_sparse(&mut self, pax: &Pax, entry: &mut Entry) -> Result<()> {
        let Some(sparse) = pax.sparse()? else {
            return Ok(());
        };
        entry.size = sparse.real_size;
        if let Some(name) = sparse.name {
            entry.path = name;
        }
        entry.sparse = Some(match sparse.map {
            Some(map) => map,
            None => {
                let limit = self.limits.extended;
                let text = &mut |block: &mut [u8]| {
                    self.read_exact(block).map_err(|error| unwrap_io("tar", error))
                };
                pax::map_in_data(text, limit)?
            }
        });
        Ok(())
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(bad("tar: two extended headers of one kind for one entry")),
    }
}

#[cfg(test)]
mod tests;
