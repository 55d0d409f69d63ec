//! Decompression of archives and layers, by magic number and within limits.
//!
//! Stage `image`, host process (also its worker threads). Media types and file
//! names are not believed: the first bytes decide. All decoders are linked in;
//! no program is ever run for this.
//!
//! Errors: `image`; damaged streams are invalid input; xz, bzip2 and lz4 are
//! unsupported.
//! Sources: RFC 1952 §2.3.1, RFC 8878 §3.1, image-spec `layer.md`.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::wrap_io;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::limits::{Budget, Step, exceeded};

/// How a stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Bytes that are read at a time.
pub(crate) const CHUNK: usize = 256 * 1024;
/// Output that is free of the ratio rule.
const FREE: u64 = 1 << 30;
const MEBIBYTE: u64 = 1 << 20;
/// log2 of the largest zstd window, 128 MiB: what the format asks every
/// decoder to support at most.
const WINDOW_LOG: u32 = 27;

/// Tells from the first bytes how a stream is packed.
pub(crate) fn sniff(head: &[u8]) -> Result<Compression> {
    let unsupported = |name| {
        Err(Error::new(Stage::Image, ErrorKind::Unsupported, format!("{name} compression"))
            .with_hint("gzip, zstd and no compression are read"))
    };
    match head {
        [0x1f, 0x8b, 8, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => unsupported("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => unsupported("bzip2"),
        [0x04, 0x22, 0x4d, 0x18, ..] => unsupported("lz4"),
        _ => Ok(Compression::None),
    }
}

/// What a stream is called in progress reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub(crate) step: Step,
    pub(crate) item: &'a str,
    pub(crate) total: Option<u64>,
}

/// Unpacks `reader`, whatever its compression; checks the cancel flag and
/// reports progress on the way in, holds the ratio limit on the way out.
pub(crate) fn decode<'a, R: Read + Send + 'a>(
    reader: R,
    label: Label<'a>,
    budget: &'a Budget<'a>,
    input: &'a AtomicU64,
) -> Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let metered = Metered { inner: reader, label, budget, input, reported: 0 };
    let mut buffered = BufReader::with_capacity(CHUNK, metered);
    let mut head = Vec::new();
    let read = buffered.by_ref().take(6).read_to_end(&mut head);
    read.map_err(|error| super::unwrap_io("read", error))?;
    let compression = sniff(&head)?;
    let whole = Cursor::new(head).chain(buffered);
    let decoder: Box<dyn Read + Send + 'a> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(MultiGzDecoder::new(whole)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(whole)
                .map_err(|error| super::unwrap_io("zstd", error))?;
            decoder.window_log_max(WINDOW_LOG).map_err(|error| super::unwrap_io("zstd", error))?;
            Box::new(decoder)
        }
    };
    Ok((compression, Box::new(Limited { inner: decoder, budget, input, output: 0 })))
}

struct Metered<'a, R> {
    inner: R,
    label: Label<'a>,
    budget: &'a Budget<'a>,
    input: &'a AtomicU64,
    reported: u64,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.budget.check().map_err(wrap_io)?;
        let n = self.inner.read(buffer)?;
        let bytes = u64::try_from(n).unwrap_or(u64::MAX);
        let done = self.input.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if n == 0 || done - self.reported >= MEBIBYTE {
            self.reported = done;
            self.budget.report(self.label.step, self.label.item, done, self.label.total);
        }
        Ok(n)
    }
}

struct Limited<'a> {
    inner: Box<dyn Read + Send + 'a>,
    budget: &'a Budget<'a>,
    input: &'a AtomicU64,
    output: u64,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.output += u64::try_from(n).unwrap_or(u64::MAX);
        if self.output > self.budget.stream() {
            let limit = self.budget.stream();
            return Err(wrap_io(exceeded("an archive with too many bytes", limit)));
        }
        let ratio = self.budget.limits.ratio;
        let input = self.input.load(Ordering::Relaxed).max(1);
        if self.output > FREE && self.output / input > ratio {
            return Err(wrap_io(exceeded(
                "a stream that unpacks to far more bytes",
                format!("{ratio} for one"),
            )));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::{Compression, Label, decode, sniff};
    use crate::error::ErrorKind;
    use crate::image::limits::{Budget, Limits, Step};
    use std::io::{Read, Write};
    use std::sync::atomic::AtomicU64;

    fn unpack(packed: &[u8], limits: &Limits) -> crate::Result<(Compression, Vec<u8>)> {
        let budget = Budget::new(limits, None, None);
        let label = Label { step: Step::Unpack, item: "test", total: None };
        let input = AtomicU64::new(0);
        let (compression, mut reader) = decode(packed, label, &budget, &input)?;
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes);
        read.map_err(|error| crate::image::unwrap_io("read", error))?;
        Ok((compression, bytes))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn each_compression_is_told_by_its_magic() {
        let limits = Limits::default();
        let zstd = zstd::encode_all(&b"hello"[..], 1).unwrap();
        for (packed, wanted) in [
            (b"hello".to_vec(), Compression::None),
            (gzip(b"hello"), Compression::Gzip),
            (zstd, Compression::Zstd),
        ] {
            assert_eq!(unpack(&packed, &limits).unwrap(), (wanted, b"hello".to_vec()));
        }
        assert_eq!(unpack(b"", &limits).unwrap(), (Compression::None, Vec::new()));
        let two_members = [gzip(b"hel"), gzip(b"lo")].concat();
        assert_eq!(unpack(&two_members, &limits).unwrap().1, b"hello");
    }

    #[test]
    fn truncated_or_damaged_stream_is_invalid_input() {
        let limits = Limits::default();
        let mut packed = gzip(&[7; 5000]);
        let error = unpack(&packed[..packed.len() - 9], &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let last = packed.len() - 5;
        packed[last] ^= 1;
        let error = unpack(&packed, &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }

    #[test]
    fn stream_of_any_compression_ends_at_its_limit() {
        let limits = Limits { bytes: 1000, entries: 1, ..Limits::default() };
        let bytes = vec![7; 5096];
        let packings =
            |bytes: &[u8]| [bytes.to_vec(), gzip(bytes), zstd::encode_all(bytes, 1).unwrap()];
        for packed in packings(&bytes) {
            assert_eq!(unpack(&packed, &limits).unwrap().1, bytes);
        }
        for packed in packings(&[7; 5097]) {
            let error = unpack(&packed, &limits).unwrap_err();
            assert_eq!(
                error.to_string(),
                "image: the image has an archive with too many bytes: the limit is 5096"
            );
        }
    }

    #[test]
    fn unknown_compression_is_named() {
        let error = sniff(b"\xfd7zXZ\0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            "image: xz compression; gzip, zstd and no compression are read"
        );
    }
}
