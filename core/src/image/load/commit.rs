//! The last step of a load: what is complete in the stage gets its names.
//!
//! Stage `image`, host process. First everything is written out; then, under
//! the index lock: a list of what will be moved, blobs, layers, their
//! directories, the index last. A name appears when all that it names is on
//! disk. When a step fails, what was moved is taken back at once; when the
//! process dies, the list lets the next [`Store::open`] do it.
//!
//! Errors: `image`, with call, path and errno.
//! Sources: syncfs(2), rename(2), fsync(2).
//!
//! [`Store::open`]: crate::image::Store::open

use nix::unistd::syncfs;
use oci_spec::image::{Digest, Platform};

use super::transaction::Transaction;
use crate::error::{ErrorKind, Result};
use crate::image::dir::{Dir, failed};
use crate::image::limits::Step;
use crate::image::source::Candidate;
use crate::image::store::index::{self, Locked, Record};
use crate::image::store::list::{Summary, summary};
use crate::image::store::{Store, collect};

impl Transaction<'_> {
    /// Makes the new images and their names visible.
    pub(super) fn commit(self, images: &[Candidate]) -> Result<Vec<Summary>> {
        let dir = self.stage.dir();
        self.budget.check()?;
        self.budget.report(Step::Commit, "store", 0, None);
        syncfs(dir).map_err(|errno| failed("syncfs", dir.path(), errno))?;
        self.budget.check()?;
        let locked = Locked::open(&self.store.dir)?;
        let (records, loaded) = match self.publish(locked, images) {
            Ok(done) => done,
            Err(error) => {
                // Read from disk what became of the index.
                Locked::open(&self.store.dir)
                    .and_then(|locked| collect::undo(self.store, &locked, dir))
                    .unwrap_or_else(|error| log::warn!("{error}"));
                return Err(error);
            }
        };
        let summaries = loaded.iter().map(|record| summary(&self.store.dir, record, &records));
        summaries.collect()
    }

    fn publish(
        &self,
        mut locked: Locked<'_>,
        images: &[Candidate],
    ) -> Result<(Vec<Record>, Vec<Record>)> {
        let dir = self.stage.dir();
        let blobs = dir.dir("blobs")?.names()?;
        let blobs = blobs.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        // What is there already is not ours to take back.
        let blobs: Vec<String> = blobs.filter(|name| !has_blob(self.store, name)).collect();
        let ids = self.ready.keys().map(Digest::digest);
        let layers: Vec<&str> = ids.filter(|id| !has_layer(self.store, id)).collect();
        dir.replace("moved", &index::render(&(&layers, &blobs))?)?;
        self.move_blobs(&blobs)?;
        let trees = dir.dir("trees")?;
        for (id, tree) in &self.ready {
            match trees.rename(&tree.name, &self.store.layers, id.digest()) {
                // Another load was faster with the same layer.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => other?,
            }
        }
        self.store.layers.sync()?;
        let loaded: Vec<Record> = images.iter().map(record).collect();
        for (image, record) in images.iter().zip(&loaded) {
            locked.keep(record);
            image.names.iter().for_each(|name| locked.name(record, name));
        }
        locked.write()?;
        dir.remove("moved")?;
        Ok((locked.into_records(), loaded))
    }

    fn move_blobs(&self, names: &[String]) -> Result<()> {
        let (from, blobs): (Dir, Dir) =
            (self.stage.dir().dir("blobs")?, self.store.dir.dir("blobs")?);
        for name in names {
            let (algorithm, hex) = name.split_once('-').unwrap_or(("sha256", name));
            from.rename(name, &blobs.make(algorithm)?, hex)?;
        }
        for algorithm in ["sha256", "sha512"] {
            blobs.find(algorithm)?.map_or(Ok(()), |dir| dir.sync())?;
        }
        blobs.sync()
    }
}

fn has_blob(store: &Store, staged: &str) -> bool {
    let path = format!("blobs/{}", staged.replacen('-', "/", 1));
    matches!(store.dir.file(&path), Ok(Some(_)))
}

fn has_layer(store: &Store, id: &str) -> bool {
    matches!(store.layers.stat(id.as_bytes()), Ok(Some(_)))
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
    Record { manifest, config: image.config.clone(), name: None, origin: image.origin.clone() }
}
