//! Copies and unpacks the layers of a load side by side.
//!
//! Stage `image`, host process, on scoped threads that end before it returns
//! and take none of the host's signals.
//!
//! Errors: `image`; the first one of any worker.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{SigSet, Signal};
use oci_spec::image::{Descriptor, Digest};

use super::transaction::Transaction;
use super::tree::Tree;
use crate::error::{Error, Result};
use crate::image::source::Content;

/// Worker threads: more do not help, decompression is one stream a layer.
const WORKERS: usize = 8;

/// One blob to bring in.
pub(super) struct Job<'c> {
    pub(super) blob: &'c Descriptor,
    /// `None`: only the blob is wanted, the tree is there.
    pub(super) diff_id: Option<&'c Digest>,
}

impl<'a> Transaction<'a> {
    /// Does all jobs; the new trees by DiffID.
    pub(super) fn work<'c>(
        &self,
        content: &Content,
        jobs: &[Job<'c>],
    ) -> Result<HashMap<&'c Digest, Tree<'a>>> {
        let (next, trees) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        let work = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                match self.job(content, job) {
                    Ok(Some((diff_id, tree))) => drop(lock(&trees).insert(diff_id, tree)),
                    Ok(None) => {}
                    Err(error) => {
                        lock(&failure).get_or_insert(error);
                        // The others end at their next check; their errors
                        // come later than the one kept.
                        self.budget.stop();
                    }
                }
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(jobs.len()).min(WORKERS);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                let worker = std::thread::Builder::new().name("libctr-unpack".to_owned());
                let started = worker.spawn_scoped(scope, || {
                    block_signals();
                    work();
                });
                // Fewer threads do it, too.
                if started.is_err() {
                    break;
                }
            }
            work();
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(trees.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn job<'c>(&self, content: &Content, job: &Job<'c>) -> Result<Option<(&'c Digest, Tree<'a>)>> {
        content.adopt(job.blob, &self.store.dir, &self.stage, self.budget)?;
        match job.diff_id {
            Some(diff_id) => Ok(Some((diff_id, self.unpack(job.blob, diff_id)?))),
            None => Ok(None),
        }
    }
}

/// The host's signals are for the host's threads; what reports a defect of
/// this very thread stays.
fn block_signals() {
    let mut signals = SigSet::all();
    for defect in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT]
    {
        signals.remove(defect);
    }
    // It cannot fail: the set is a valid one.
    let _ = signals.thread_block();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
