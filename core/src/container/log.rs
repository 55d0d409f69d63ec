//! The log of a container whose output nobody reads: decoding its frames.
//!
//! Runs in the host. The helper (`core/helper/src/monitor/log.rs`) appends
//! frames to `log` and, when that file has half the wanted size, renames it to
//! `log.1`, so that an older `log.1` goes:
//!
//! ```text
//! stream u32 (1 or 2) · bytes u32 · CLOCK_REALTIME ns u64 · the bytes
//! ```
//!
//! little endian. A reader may be at work at any time, also while files are
//! renamed or the container is removed: it goes by open files, not by names.
//! Errors: stage `state`; a frame that cannot be one is `InvalidInput`.

use std::fs::File;
use std::io::ErrorKind as IoErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Container;
use crate::error::{Error, Result, Stage};

/// The head of a frame.
const HEAD: usize = 16;
/// The most bytes of one frame: a pipe's capacity.
const CHUNK: usize = 65_536;
const NEWER: &str = "log";
const OLDER: &str = "log.1";

/// The stream that something was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What was read from one stream at one time: a part of a line, or many.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEntry {
    /// Which stream it was written to.
    pub stream: LogStream,
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// 1 to 65536 bytes.
    pub data: Vec<u8>,
}

/// The entries of a log, the oldest first. `None` says that there is nothing
/// more now: asked again, it goes on with what was written since.
#[derive(Debug)]
pub struct LogReader {
    directory: PathBuf,
    current: Option<Part>,
    failed: bool,
}

impl Container {
    /// Reads what the container has written to the streams that are
    /// [`crate::Stdio::Log`]; nothing for other streams.
    #[must_use]
    pub fn log(&self) -> LogReader {
        LogReader::new(self.directory())
    }
}

impl Iterator for LogReader {
    type Item = Result<LogEntry>;

    fn next(&mut self) -> Option<Result<LogEntry>> {
        if self.failed {
            return None;
        }
        let entry = self.advance();
        self.failed = entry.is_err();
        entry.transpose()
    }
}

impl LogReader {
    fn new(directory: &Path) -> LogReader {
        LogReader { directory: directory.to_owned(), current: None, failed: false }
    }

    fn advance(&mut self) -> Result<Option<LogEntry>> {
        loop {
            if let Some(entry) = self.frame()? {
                return Ok(Some(entry));
            }
            let Some(next) = self.successor()? else { return Ok(None) };
            // Only now nothing is added to the current file any more.
            if let Some(entry) = self.frame()? {
                return Ok(Some(entry));
            }
            self.current = Some(next);
        }
    }

    fn frame(&mut self) -> Result<Option<LogEntry>> {
        self.current.as_mut().map_or(Ok(None), Part::frame)
    }

    /// The file after the current one. After two renamings at once what is
    /// between them is lost, to readers as to the disk.
    fn successor(&self) -> Result<Option<Part>> {
        let current = self.current.as_ref().map(|part| part.identity);
        loop {
            let older = Part::open(&self.directory, OLDER)?;
            let newer = Part::open(&self.directory, NEWER)?;
            let identity = older.as_ref().map(|part| part.identity);
            // The files belong together if no renaming came between them.
            if Part::open(&self.directory, OLDER)?.map(|part| part.identity) != identity {
                continue;
            }
            if current.is_some() && newer.as_ref().map(|part| part.identity) == current {
                return Ok(None);
            }
            return Ok(if older.is_some() && identity != current { older } else { newer });
        }
    }
}

/// One of the two files.
#[derive(Debug)]
struct Part {
    file: File,
    path: PathBuf,
    identity: (u64, u64),
    position: u64,
}

impl Part {
    fn open(directory: &Path, name: &str) -> Result<Option<Part>> {
        let path = directory.join(name);
        let failed =
            |call: &str, error| Error::io(Stage::State, format!("{call}({path:?})"), error);
        let file = match File::open(&path) {
            Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| failed("open", error))?,
        };
        let metadata = file.metadata().map_err(|error| failed("fstat", error))?;
        Ok(Some(Part { identity: (metadata.dev(), metadata.ino()), file, path, position: 0 }))
    }

    /// The next whole frame; one that is still being written is none yet.
    fn frame(&mut self) -> Result<Option<LogEntry>> {
        let mut head = [0; HEAD];
        if self.read(self.position, &mut head)? < HEAD {
            return Ok(None);
        }
        let word = |at: usize| {
            head.get(at..)
                .and_then(|rest| rest.first_chunk())
                .copied()
                .map_or(0, u32::from_le_bytes)
        };
        let (stream, length) = (word(0), usize::try_from(word(4)).unwrap_or(usize::MAX));
        let stream = match stream {
            1 => LogStream::Stdout,
            2 => LogStream::Stderr,
            _ => return Err(self.damaged(&format!("stream {stream}"))),
        };
        if !(1..=CHUNK).contains(&length) {
            return Err(self.damaged(&format!("{length} bytes")));
        }
        let mut data = vec![0; length];
        if self.read(self.position + HEAD as u64, &mut data)? < length {
            return Ok(None);
        }
        self.position += (HEAD + length) as u64;
        let time_ns = u64::from(word(8)) | u64::from(word(12)) << 32;
        Ok(Some(LogEntry { stream, time_ns, data }))
    }

    /// Reads until the buffer is full or the file ends.
    fn read(&self, position: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut length = 0;
        loop {
            match self.file.read_at(&mut buffer[length..], position + length as u64) {
                Ok(0) => return Ok(length),
                Ok(n) => length += n,
                Err(error) if error.kind() == IoErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::io(Stage::State, format!("read({:?})", self.path), error));
                }
            }
        }
    }

    fn damaged(&self, found: &str) -> Error {
        let Part { path, position, .. } = self;
        Error::invalid(Stage::State, format!("{path:?}: no frame at byte {position}: {found}"))
    }
}

#[cfg(test)]
mod tests;
