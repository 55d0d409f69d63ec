//! What an image may cost, and the account that is kept while it is loaded.
//!
//! Stage `image`, host process. An image is hostile input: each size and each
//! count that it can choose is compared with [`Limits`] before memory, disk or
//! time is spent on it. One [`Budget`] is shared by all worker threads of a
//! load; it also carries the caller's cancel flag and progress callback.
//!
//! Errors: `image`, invalid input with the limit's name; or cancelled.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::notes::Notes;

/// Upper bounds for one load or import. All are settable; reaching one ends
/// the load with an error that names it and leaves the store as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes that the archive may put on disk (staged) and, counted apart,
    /// bytes of all unpacked files. Holes of sparse files count. No tar may be
    /// longer than that and 4 KiB for each of `entries`.
    pub bytes: u64,
    /// Entries of all layers together; also entries of the outer archive.
    pub entries: u64,
    /// Layers of one image.
    pub layers: usize,
    /// Bytes of one path or link target in a layer, at most 4095.
    pub path: usize,
    /// Directories above an entry in a layer.
    pub depth: usize,
    /// Bytes of one extended header of a tar entry: long names, extended
    /// attributes, sparse maps.
    pub extended: u64,
    /// Bytes of one JSON document: index, manifest, config.
    pub document: u64,
    /// Bytes of memory for what has to be kept until the load is complete: all
    /// documents, names of an archive's files, paths and attributes of a
    /// layer's directories, links to what comes later.
    pub memory: u64,
    /// Bytes that one compressed byte may become, once more than 1 GiB came
    /// out of one stream.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            bytes: 64 << 30,
            entries: 4_000_000,
            layers: 500,
            path: 4095,
            depth: 256,
            extended: 1 << 20,
            document: 8 << 20,
            memory: 256 << 20,
            ratio: 250,
        }
    }
}

/// How far a load is; given to the callback of `LoadOptions`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// The digest of the blob or layer, or the name of the file in the archive.
    pub item: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes to do; `None` where that is not known.
    pub total: Option<u64>,
}

/// The steps of a load, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Content is copied into the store and its digest computed.
    Copy,
    /// A layer is unpacked; the bytes are those of the compressed blob.
    Unpack,
    /// Everything is written out and given its name.
    Commit,
}

/// A progress callback, called from worker threads too, at most about once
/// per MiB and item.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

/// The running account of one load.
pub(crate) struct Budget<'a> {
    pub(crate) limits: Limits,
    pub(crate) cancel: Option<&'a AtomicBool>,
    pub(crate) progress: Option<OnProgress<'a>>,
    staged: AtomicU64,
    unpacked: AtomicU64,
    entries: AtomicU64,
    kept: AtomicU64,
    stop: AtomicBool,
    /// What will be said when it has succeeded.
    pub(crate) notes: Notes,
}

impl fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The error of a limit that was reached.
pub(crate) fn exceeded(what: &str, limit: impl fmt::Display) -> Error {
    Error::invalid(Stage::Image, format!("the image has {what}: the limit is {limit}"))
}

impl<'a> Budget<'a> {
    pub(crate) fn new(
        limits: &Limits,
        cancel: Option<&'a AtomicBool>,
        progress: Option<OnProgress<'a>>,
    ) -> Budget<'a> {
        Budget {
            limits: limits.clone(),
            cancel,
            progress,
            staged: AtomicU64::new(0),
            unpacked: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            notes: Notes::default(),
        }
    }

    /// Fails when the caller cancelled, or when another worker failed.
    pub(crate) fn check(&self) -> Result<()> {
        let cancelled = self.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed));
        if cancelled || self.stop.load(Ordering::Relaxed) {
            return Err(Error::new(Stage::Image, ErrorKind::Cancelled, "cancelled by the caller"));
        }
        Ok(())
    }

    /// Makes every later [`Budget::check`] fail, so that the other workers end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Counts bytes that are copied into the store.
    pub(crate) fn stage(&self, bytes: u64) -> Result<()> {
        add(&self.staged, bytes, self.limits.bytes, "too many bytes")
    }

    /// Counts bytes of unpacked files.
    pub(crate) fn unpack(&self, bytes: u64) -> Result<()> {
        add(&self.unpacked, bytes, self.limits.bytes, "too many bytes when unpacked")
    }

    /// Counts one entry of a tar archive.
    pub(crate) fn entry(&self) -> Result<()> {
        add(&self.entries, 1, self.limits.entries, "too many entries")
    }

    /// Counts one value of these lengths that stays in memory.
    pub(crate) fn keep(&self, lengths: &[usize]) -> Result<()> {
        // A value, its place in a map and the allocations cost something, too.
        const OVERHEAD: u64 = 96;
        let lengths = lengths.iter().map(|n| u64::try_from(*n).unwrap_or(u64::MAX));
        let bytes = lengths.fold(OVERHEAD, u64::saturating_add);
        add(&self.kept, bytes, self.limits.memory, "too much to keep in memory")
    }

    /// Bytes that one tar may have.
    pub(crate) fn stream(&self) -> u64 {
        self.limits.bytes.saturating_add(self.limits.entries.saturating_mul(4096))
    }

    /// Tells the caller how far it is.
    pub(crate) fn report(&self, step: Step, item: &str, done: u64, total: Option<u64>) {
        if let Some(callback) = self.progress {
            callback(Progress { step, item: item.to_owned(), done, total });
        }
    }
}

fn add(counter: &AtomicU64, n: u64, limit: u64, what: &str) -> Result<()> {
    // The sum is compared before it can wrap: no caller adds more than one
    // read's worth or one declared size at a time, and those are compared too.
    if n > limit || counter.fetch_add(n, Ordering::Relaxed).saturating_add(n) > limit {
        return Err(exceeded(what, limit));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Budget, Limits};
    use crate::error::ErrorKind;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn budget_spent_names_the_limit() {
        let limits = Limits { bytes: 10, entries: 1, ..Limits::default() };
        let budget = Budget::new(&limits, None, None);
        budget.unpack(10).unwrap();
        let error = budget.unpack(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "image: the image has too many bytes when unpacked: the limit is 10"
        );
        assert!(budget.unpack(u64::MAX).is_err());
        budget.stage(10).unwrap();
        budget.entry().unwrap();
        assert!(budget.entry().is_err());
        assert_eq!(budget.stream(), 10 + 4096);
    }

    #[test]
    fn kept_values_count_with_what_they_cost() {
        let limits = Limits { memory: 1000, ..Limits::default() };
        let budget = Budget::new(&limits, None, None);
        budget.keep(&[300, 100]).unwrap();
        budget.keep(&[]).unwrap();
        let error = budget.keep(&[400]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "image: the image has too much to keep in memory: the limit is 1000"
        );
        assert!(budget.keep(&[usize::MAX, 1]).is_err());
    }

    #[test]
    fn cancel_flag_set_is_an_error_of_its_own_kind() {
        let flag = AtomicBool::new(false);
        let budget = Budget::new(&Limits::default(), Some(&flag), None);
        budget.check().unwrap();
        flag.store(true, Ordering::Relaxed);
        assert_eq!(budget.check().unwrap_err().kind(), ErrorKind::Cancelled);
    }
}
