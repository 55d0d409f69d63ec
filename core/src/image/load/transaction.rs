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
//! Sources: syncfs(2), rename(2).

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::os::fd::AsFd;

use oci_spec::image::{Descriptor, Digest};

use super::tree::{Tree, unpack_blob};
use super::work::Job;
use crate::error::{Error, ErrorKind, Result, Stage as Step};
use crate::image::digest::{Hasher, chain, verify};
use crate::image::dir::Dir;
use crate::image::limits::Budget;
use crate::image::source::{Candidate, Content, check_size, staged_blob};
use crate::image::store::layer::{Held, hold_at};
use crate::image::store::stage::Stage;
use crate::image::store::{Store, Summary, index};
use crate::image::unpack::settle::settle;
use crate::image::unwrap_io;

/// One load on its way into the store.
pub(crate) struct Transaction<'a> {
    pub(super) store: &'a Store,
    pub(super) stage: Stage,
    pub(super) budget: &'a Budget<'a>,
    /// Layers of the store that the new images share.
    held: HashMap<Digest, Held>,
    /// New layers by the id that they will have.
    pub(super) ready: HashMap<Digest, Tree<'a>>,
    /// Trees that were unpacked before, by DiffID.
    prepared: HashMap<Digest, Tree<'a>>,
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
    pub(crate) fn prepare(&mut self, diff_id: Digest, tree: Tree<'a>) {
        self.prepared.insert(diff_id, tree);
    }

    /// Does all steps and returns what the store has now.
    pub(crate) fn run(mut self, content: &Content, images: Vec<Candidate>) -> Result<Vec<Summary>> {
        let mut jobs: Vec<Job<'_>> = Vec::new();
        let mut planned: HashSet<&Digest> = HashSet::new();
        let mut blobs: HashMap<&Digest, usize> = HashMap::new();
        for image in &images {
            let places = chain(&image.diff_ids);
            for ((place, diff_id), blob) in
                places.into_iter().zip(&image.diff_ids).zip(&image.layers)
            {
                let there = self.hold(&place, diff_id)? || self.prepared.contains_key(diff_id);
                let wanted = (!there && planned.insert(diff_id)).then_some(diff_id);
                // One job brings a blob in. Where it is two trees, the second
                // one is unpacked when it is settled.
                match blobs.get(blob.digest()) {
                    None => {
                        blobs.insert(blob.digest(), jobs.len());
                        jobs.push(Job { blob, diff_id: wanted });
                    }
                    Some(at) => {
                        let job = &mut jobs[*at];
                        check_size(blob.digest(), blob.size(), job.blob.size())?;
                        job.diff_id = job.diff_id.or(wanted);
                    }
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
        let (budget, store) = (self.budget, self.store);
        let loaded = self.commit(&images)?;
        budget.notes.tell(store.users());
        Ok(loaded)
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

    /// Unpacks a staged blob and checks its DiffID.
    pub(super) fn unpack(&self, blob: &Descriptor, diff_id: &Digest) -> Result<Tree<'a>> {
        let (mut tree, found) = unpack_blob(
            &self.stage,
            blob.digest(),
            Hasher::like(diff_id)?,
            self.store.ownership(),
            self.budget,
        )?;
        verify(&format!("the unpacked layer {}", blob.digest()), diff_id, &found)?;
        tree.meta.diff_id = diff_id.to_string();
        Ok(tree)
    }

    /// Completes the new layers of one image, from the bottom up.
    fn settle<'c>(
        &mut self,
        image: &'c Candidate,
        trees: &mut HashMap<&'c Digest, Tree<'a>>,
    ) -> Result<()> {
        let places = chain(&image.diff_ids);
        // The names under which each place's tree is known, bottom first.
        let mut below: Vec<Digest> = Vec::new();
        for ((place, diff_id), blob) in places.iter().zip(&image.diff_ids).zip(&image.layers) {
            let known = [place, diff_id].into_iter().find(|id| {
                self.ready.get(*id).is_some_and(|tree| *id == place || !tree.meta.stacked)
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
            let found = trees.remove(diff_id).or_else(|| self.prepared.remove(diff_id));
            let mut tree = match found {
                Some(tree) => tree,
                None => self.unpack(blob, diff_id)?,
            };
            let lower = below.iter().rev().map(|id| self.fs(id)).collect::<Result<Vec<_>>>()?;
            let lower: Vec<&Dir> = lower.iter().collect();
            let ownership = self.store.ownership();
            let stacked = settle(&tree.fs, &mut tree.unpacked, &lower, ownership, self.budget)?;
            // Whole before the next one looks at it.
            tree.unpacked.owners.give(tree.fs.as_fd())?;
            tree.meta.stacked = stacked || !tree.unpacked.implicit.is_empty();
            let id = if stacked { place } else { diff_id };
            write(&tree.dir, "meta.json", &index::render(&tree.meta)?)?;
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
            (None, None) => {
                Err(Error::new(Step::Image, ErrorKind::Internal, format!("no tree for layer {id}")))
            }
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
                    write(&blobs, &name, bytes)?;
                }
            }
        }
        Ok(())
    }
}

fn write(dir: &Dir, name: &str, bytes: &[u8]) -> Result<()> {
    let written = dir.create(name)?.write_all(bytes);
    written.map_err(|error| unwrap_io(&format!("write({:?})", dir.name(name.as_bytes())), error))
}
