//! Brings chosen images into the store, all or none.
//!
//! Stage `image`, host process and scoped worker threads that end before it
//! returns. The list: blobs copied and verified, layers unpacked side by side
//! (each once), layers settled from the bottom up, everything written out
//! (`syncfs`), then the commit: under the index lock blobs and layers are
//! renamed to their places, and last the index. A name appears when all that
//! it names is on disk; a crash before leaves unnamed content that the next
//! [`Store::open`] takes back.
//!
//! Errors: `image`; the first one of any worker.
//! Sources: `dependencies.md` §3.1 (commit order), syncfs(2), rename(2).

use std::collections::{HashMap, HashSet};
use std::io::BufReader;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::syncfs;
use oci_spec::image::{Descriptor, Digest, Platform};

use super::attributes::Ownership;
use super::compression::{CHUNK, Label, decode};
use super::digest::{Hasher, Hashing, chain, verify};
use super::dir::{Dir, failed};
use super::index::{self, Locked, Record};
use super::layer::{Held, Meta, RootDirectory, hold_at};
use super::limits::{Budget, Step};
use super::list::{Summary, summary};
use super::source::{Candidate, Content, staged_blob};
use super::stage::Stage;
use super::store::Store;
use super::tar::Archive;
use super::unpack::{Unpacked, settle::settle, unpack};
use crate::error::{Error, ErrorKind, Result, Stage as Step_};

/// Worker threads: more do not help, decompression is one stream a layer.
const WORKERS: usize = 8;

pub(crate) struct Transaction<'a> {
    store: &'a Store,
    stage: Stage,
    budget: &'a Budget<'a>,
    /// Layers of the store that the new images share.
    held: HashMap<Digest, Held>,
    /// New layers by the id that they will have.
    ready: HashMap<Digest, Tree>,
    /// Trees that were unpacked before, by DiffID.
    prepared: HashMap<Digest, Tree>,
}

/// A layer that was unpacked in the stage.
pub(crate) struct Tree {
    dir: Dir,
    fs: Dir,
    unpacked: Unpacked,
    meta: Meta,
}

struct Job<'c> {
    blob: &'c Descriptor,
    /// `None`: only the blob is wanted, the tree is there.
    diff_id: Option<&'c Digest>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(store: &'a Store, stage: Stage, budget: &'a Budget<'a>) -> Transaction<'a> {
        Transaction {
            store,
            stage,
            budget,
            held: HashMap::new(),
            ready: HashMap::new(),
            prepared: HashMap::new(),
        }
    }

    /// Takes a tree that was unpacked before, so that it is not done again.
    pub(crate) fn prepare(&mut self, diff_id: Digest, tree: Tree) {
        self.prepared.insert(diff_id, tree);
    }

    /// Does all steps and returns what the store has now.
    pub(crate) fn run(mut self, content: &Content, images: Vec<Candidate>) -> Result<Vec<Summary>> {
        let mut jobs: Vec<Job<'_>> = Vec::new();
        let mut planned: HashSet<&Digest> = HashSet::new();
        for image in &images {
            let places = chain(&image.diff_ids);
            for ((place, diff_id), blob) in
                places.into_iter().zip(&image.diff_ids).zip(&image.layers)
            {
                let there = self.hold(&place, diff_id)? || self.prepared.contains_key(diff_id);
                let wanted = (!there && planned.insert(diff_id)).then_some(diff_id);
                if wanted.is_some() || planned.insert(blob.digest()) {
                    jobs.push(Job {
                        blob,
                        diff_id: wanted,
                    });
                }
            }
        }
        // The largest first: the last one to end decides how long it takes.
        jobs.sort_by_key(|job| std::cmp::Reverse((job.diff_id.is_some(), job.blob.size())));
        let mut trees = self.work(content, &jobs)?;
        for image in &images {
            self.settle(image, &mut trees)?;
        }
        self.write_documents(&images)?;
        self.commit(images)
    }

    /// Locks a layer of the store; whether it is there.
    fn hold(&mut self, place: &Digest, diff_id: &Digest) -> Result<bool> {
        if self.held.contains_key(place) {
            return Ok(true);
        }
        let Some(held) = hold_at(&self.store.layers, place, diff_id)? else {
            return Ok(false);
        };
        self.held.insert(place.clone(), held);
        Ok(true)
    }

    fn work<'c>(&self, content: &Content, jobs: &[Job<'c>]) -> Result<HashMap<&'c Digest, Tree>> {
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
                    // The host's signals are for the host's threads.
                    let _ = SigSet::all().thread_block();
                    work();
                });
                // Fewer threads do it, too.
                if started.is_err() {
                    break;
                }
            }
            work();
        });
        match failure
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            Some(error) => Err(error),
            None => Ok(trees
                .into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner)),
        }
    }

    fn job<'c>(&self, content: &Content, job: &Job<'c>) -> Result<Option<(&'c Digest, Tree)>> {
        content.adopt(job.blob, &self.store.dir, &self.stage, self.budget)?;
        match job.diff_id {
            Some(diff_id) => Ok(Some((diff_id, self.unpack(job.blob, diff_id)?))),
            None => Ok(None),
        }
    }

    /// Unpacks a staged blob and checks its DiffID.
    fn unpack(&self, blob: &Descriptor, diff_id: &Digest) -> Result<Tree> {
        let (mut tree, found) = unpack_blob(
            &self.stage,
            blob.digest(),
            Hasher::like(diff_id)?,
            self.budget,
        )?;
        verify(
            &format!("the unpacked layer {}", blob.digest()),
            diff_id,
            &found,
        )?;
        tree.meta.diff_id = diff_id.to_string();
        Ok(tree)
    }

    /// Completes the new layers of one image, from the bottom up.
    fn settle<'c>(
        &mut self,
        image: &'c Candidate,
        trees: &mut HashMap<&'c Digest, Tree>,
    ) -> Result<()> {
        let places = chain(&image.diff_ids);
        // The names under which each place's tree is known, bottom first.
        let mut below: Vec<Digest> = Vec::new();
        for ((place, diff_id), blob) in places.iter().zip(&image.diff_ids).zip(&image.layers) {
            let known = [place, diff_id].into_iter().find(|id| {
                self.ready
                    .get(*id)
                    .is_some_and(|tree| *id == place || !tree.meta.stacked)
            });
            if let Some(known) = known {
                below.push(known.clone());
                continue;
            }
            if self.held.contains_key(place) {
                below.push(place.clone());
                continue;
            }
            // A tree that was settled for another stack cannot serve again.
            let found = trees
                .remove(diff_id)
                .or_else(|| self.prepared.remove(diff_id));
            let mut tree = match found {
                Some(tree) => tree,
                None => self.unpack(blob, diff_id)?,
            };
            let lower = below
                .iter()
                .rev()
                .map(|id| self.fs(id))
                .collect::<Result<Vec<_>>>()?;
            let lower: Vec<&Dir> = lower.iter().collect();
            let stacked = settle(&tree.fs, &tree.unpacked, &lower, Ownership::ROOT)?;
            tree.meta.stacked = stacked || !tree.unpacked.implicit.is_empty();
            let id = if stacked { place } else { diff_id };
            tree.dir.create("meta.json").and_then(|mut file| {
                let text = index::render(&tree.meta)?;
                std::io::Write::write_all(&mut file, &text)
                    .map_err(|e| super::unwrap_io("write", e))
            })?;
            self.ready.insert(id.clone(), tree);
            below.push(id.clone());
        }
        Ok(())
    }

    /// The tree of a layer below, new or of the store.
    fn fs(&self, id: &Digest) -> Result<Dir> {
        match (self.ready.get(id), self.held.get(id)) {
            (Some(tree), _) => tree.dir.dir("fs"),
            (None, Some(held)) => held.dir.dir("fs"),
            (None, None) => Err(Error::new(
                Step_::Image,
                ErrorKind::Internal,
                format!("no tree for layer {id}"),
            )),
        }
    }

    /// Manifests and configs go where the layers' blobs are.
    fn write_documents(&self, images: &[Candidate]) -> Result<()> {
        let blobs = self.stage.dir().dir("blobs")?;
        for image in images {
            let manifest = (image.manifest.digest(), &image.manifest_bytes);
            for (digest, bytes) in [manifest, (&image.config, &image.config_bytes)] {
                let name = staged_blob(digest);
                if blobs.stat(name.as_bytes())?.is_none() {
                    let mut file = blobs.create(&name)?;
                    std::io::Write::write_all(&mut file, bytes)
                        .map_err(|error| super::unwrap_io(&format!("write({name:?})"), error))?;
                }
            }
        }
        Ok(())
    }

    fn commit(self, images: Vec<Candidate>) -> Result<Vec<Summary>> {
        let dir = self.stage.dir();
        self.budget.check()?;
        self.budget.report(Step::Commit, "store", 0, None);
        let ids: Vec<&str> = self.ready.keys().map(Digest::digest).collect();
        let names = dir.dir("blobs")?.names()?;
        let names: Vec<String> = names
            .iter()
            .map(|n| String::from_utf8_lossy(n).into_owned())
            .collect();
        let mut locked = Locked::open(&self.store.dir)?;
        // What is there already is not ours to take back.
        let new_layers: Vec<&str> = absent(&self.store.layers, ids.into_iter())?;
        let new_blobs: Vec<&String> = names.iter().filter(|name| !self.has_blob(name)).collect();
        dir.replace("moved", &index::render(&(&new_layers, &new_blobs))?)?;
        syncfs(dir).map_err(|errno| failed("syncfs", dir.path(), errno))?;
        self.budget.check()?;
        self.move_blobs(&new_blobs)?;
        for (id, tree) in &self.ready {
            self.move_layer(id, tree)?;
        }
        self.store.layers.sync()?;
        let mut loaded = Vec::new();
        for image in &images {
            let record = record(image);
            locked.keep(&record);
            for name in &image.names {
                locked.name(&record, name);
            }
            loaded.push(record);
        }
        locked.write()?;
        dir.remove("moved")?;
        loaded
            .iter()
            .map(|record| summary(&self.store.dir, record, &locked.records))
            .collect()
    }

    fn has_blob(&self, name: &str) -> bool {
        let path = name.replacen('-', "/", 1);
        matches!(self.store.dir.file(&format!("blobs/{path}")), Ok(Some(_)))
    }

    fn move_blobs(&self, names: &[&String]) -> Result<()> {
        let (from, blobs) = (self.stage.dir().dir("blobs")?, self.store.dir.dir("blobs")?);
        for name in names {
            let (algorithm, hex) = name.split_once('-').unwrap_or(("sha256", name));
            from.rename(name, &blobs.make(algorithm)?, hex)?;
        }
        for algorithm in ["sha256", "sha512"] {
            blobs.find(algorithm)?.map_or(Ok(()), |dir| dir.sync())?;
        }
        blobs.sync()
    }

    /// Gives a tree its place; another process may have been faster.
    fn move_layer(&self, id: &Digest, tree: &Tree) -> Result<()> {
        let trees = self.stage.dir().dir("trees")?;
        let name = tree
            .dir
            .path()
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        match trees.rename(name, &self.store.layers, id.digest()) {
            Err(error) if matches!(error.errno(), Some(n) if n == Errno::EEXIST as i32 || n == Errno::ENOTEMPTY as i32) => {
                Ok(())
            }
            other => other,
        }
    }
}

/// Unpacks a staged blob into a new tree of the stage.
pub(crate) fn unpack_blob(
    stage: &Stage,
    blob: &Digest,
    hasher: Hasher,
    budget: &Budget<'_>,
) -> Result<(Tree, Digest)> {
    let trees = stage.dir().dir("trees")?;
    let dir = stage.fresh(&trees)?;
    let fs = dir.make("fs")?;
    let path = format!("blobs/{}", staged_blob(blob));
    let (file, size) = stage.dir().file(&path)?.ok_or_else(|| {
        Error::new(
            Step_::Image,
            ErrorKind::Internal,
            format!("{path} is not staged"),
        )
    })?;
    let (shown, input) = (blob.to_string(), AtomicU64::new(0));
    let label = Label {
        step: Step::Unpack,
        item: &shown,
        total: Some(size),
    };
    let (_, decoder) = decode(file, label, budget, &input)?;
    let reader = BufReader::with_capacity(CHUNK, Hashing::new(decoder, hasher));
    let mut archive = Archive::new(reader, &budget.limits);
    let unpacked = unpack(&mut archive, &fs, Ownership::ROOT, budget)?;
    let (found, tar_size) = archive.finish()?.into_inner().finish();
    let root = unpacked.root.as_ref();
    let meta = Meta {
        diff_id: found.to_string(),
        blob: shown,
        tar_size,
        size: unpacked.bytes,
        entries: unpacked.entries,
        root: root.map(|root| RootDirectory {
            mode: root.mode,
            uid: root.uid,
            gid: root.gid,
        }),
        stacked: false,
        overlay: "trusted".to_owned(),
    };
    Ok((
        Tree {
            dir,
            fs,
            unpacked,
            meta,
        },
        found,
    ))
}

fn record(image: &Candidate) -> Record {
    let mut manifest = image.manifest.clone();
    if manifest.platform().is_none() {
        let mut platform = Platform::default();
        platform.set_os(image.configuration.os().clone());
        platform.set_architecture(image.configuration.architecture().clone());
        platform.set_variant(image.configuration.variant().clone());
        manifest.set_platform(Some(platform));
    }
    Record {
        manifest,
        config: image.config.clone(),
        name: None,
        origin: image.origin.clone(),
    }
}

fn absent<'i>(layers: &Dir, ids: impl Iterator<Item = &'i str>) -> Result<Vec<&'i str>> {
    let mut absent = Vec::new();
    for id in ids {
        if layers.stat(id.as_bytes())?.is_none() {
            absent.push(id);
        }
    }
    Ok(absent)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
