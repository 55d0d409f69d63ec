//! Removes images, and what nothing names any more.
//!
//! Stage `image`, host process. The collector works under the index lock, so
//! nothing gets a name meanwhile. A blob stays when a named image consists of
//! it. A layer stays when a named image consists of it, when somebody holds
//! its lock (a running container, a load that shares it), or when the caller
//! says that it is in use (a stopped container). Trees are renamed away at
//! once and deleted after the lock is gone.
//!
//! Errors: `image`: not found, busy (an id with several names), or the call.
//! Sources: image-spec `config.md` (ChainID).

use std::collections::HashSet;
use std::os::fd::AsFd;

use oci_spec::image::{Digest, ImageConfiguration, ImageIndex, ImageManifest};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result, Stage as Step};
use crate::image::dir::Dir;
use crate::image::store::Store;
use crate::image::store::find;
use crate::image::store::index::{self, Locked, Record};
use crate::image::store::layer::hold;
use crate::image::store::stage::{Stage, is_current, try_lock};
use crate::image::{Reference, digest};

/// Indexes inside indexes of other tools that are followed.
const NESTING: usize = 4;

/// What a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Removed {
    /// Names that no longer exist.
    pub names: Vec<String>,
    /// Ids of images that are gone.
    pub images: Vec<String>,
    /// Ids of layers whose trees were deleted.
    pub layers: Vec<String>,
    /// Bytes of blobs and of files in the trees that were deleted.
    pub bytes: u64,
}

impl Store {
    /// Takes a name away; the image goes with its last one. An id stands for
    /// the image with all its names, which must be one at most unless `force`.
    /// Then removes all blobs and layers that nothing needs: `in_use` is asked
    /// for layer ids that stopped containers still need.
    ///
    /// # Errors
    /// Not found; busy for an id with several names without `force`.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        in_use: &dyn Fn(&str) -> bool,
    ) -> Result<Removed> {
        let stage = Stage::create(&self.dir)?;
        let mut locked = Locked::open(&self.dir)?;
        let record = find::one(&locked.records, name)?.clone();
        let named = Reference::parse(name).is_ok_and(|r| find::is_named(&record, &r));
        let names =
            locked.records.iter().filter(|r| r.same_image(&record) && r.name.is_some()).count();
        if !named && names > 1 && !force {
            let text = format!("image {} has {names} names", record.config);
            return Err(Error::new(Step::Image, ErrorKind::Busy, text)
                .with_hint("remove them one by one, or force it"));
        }
        let taken = if named {
            locked.take(|known| known.same_image(&record) && known.name == record.name)
        } else {
            locked.take(|known| known.same_image(&record))
        };
        let mut removed = Removed::default();
        removed.count(&taken, &locked);
        locked.write()?;
        collect(self, &locked, &stage, in_use, &mut removed)?;
        Ok(removed)
    }

    /// Removes images without a name and, with `all`, also those that no
    /// container uses; then everything that nothing needs, as
    /// [`Store::remove`], and unfinished downloads.
    ///
    /// # Errors
    /// The failed call; what was removed until then stays removed.
    pub fn prune(&self, all: bool, in_use: &dyn Fn(&str) -> bool) -> Result<Removed> {
        let stage = Stage::create(&self.dir)?;
        let mut locked = Locked::open(&self.dir)?;
        let mut unused = HashSet::new();
        for record in &locked.records {
            if all && !self.is_used(record, in_use)? {
                unused.insert(record.manifest.digest().clone());
            }
        }
        let taken = locked.take(|r| r.name.is_none() || unused.contains(r.manifest.digest()));
        let mut removed = Removed::default();
        removed.count(&taken, &locked);
        locked.write()?;
        collect(self, &locked, &stage, in_use, &mut removed)?;
        let ingest = self.dir.dir("ingest")?;
        for name in ingest.names()? {
            removed.bytes += discard_download(&ingest, &name)?;
        }
        Ok(removed)
    }

    /// Whether a container uses the image: it holds or needs all layers, the
    /// top one too.
    fn is_used(&self, record: &Record, in_use: &dyn Fn(&str) -> bool) -> Result<bool> {
        let Ok((chain, diff_ids)) = stack(&self.dir, record) else {
            return Ok(false);
        };
        let top = chain.last().into_iter().chain(diff_ids.last());
        for id in top {
            let Some(dir) = self.layers.find(id.digest())? else {
                continue;
            };
            if in_use(id.digest()) || !try_lock(dir.as_fd(), true)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Removed {
    fn count(&mut self, taken: &[Record], kept: &Locked<'_>) {
        for record in taken {
            self.names.extend(record.name.clone());
            let id = record.config.to_string();
            let gone = !kept.records.iter().any(|known| known.config == record.config);
            if gone && !self.images.contains(&id) {
                self.images.push(id);
            }
        }
    }
}

/// What the index needs.
#[derive(Default)]
struct Marks {
    blobs: HashSet<Digest>,
    layers: HashSet<String>,
}

fn stack(store: &Dir, record: &Record) -> Result<(Vec<Digest>, Vec<Digest>)> {
    let config = index::document(store, &record.config)?;
    let config: ImageConfiguration = index::parse("image config", &config)?;
    let ids = config.rootfs().diff_ids().iter().map(|text| digest::parse("diff_id", text));
    let ids: Vec<Digest> = ids.collect::<Result<_>>()?;
    Ok((digest::chain(&ids), ids))
}

impl Marks {
    fn of(store: &Dir, locked: &Locked<'_>) -> Result<Marks> {
        let mut marks = Marks::default();
        for record in &locked.records {
            let manifest = index::manifest(store, record.manifest.digest())?;
            marks.manifest(record.manifest.digest(), &manifest);
            let (chain, diff_ids) = stack(store, record)?;
            marks.layers.extend(chain.iter().chain(&diff_ids).map(|id| id.digest().to_owned()));
        }
        for descriptor in locked.foreign() {
            marks.foreign(store, descriptor.digest(), NESTING);
        }
        Ok(marks)
    }

    fn manifest(&mut self, digest: &Digest, manifest: &ImageManifest) {
        self.blobs.insert(digest.clone());
        self.blobs.insert(manifest.config().digest().clone());
        self.blobs.extend(manifest.layers().iter().map(|layer| layer.digest().clone()));
    }

    /// Content that another tool put into the index: all that it can reach.
    fn foreign(&mut self, store: &Dir, digest: &Digest, depth: usize) {
        self.blobs.insert(digest.clone());
        let Ok(bytes) = index::document(store, digest) else {
            return;
        };
        if let Ok(manifest) = index::parse::<ImageManifest>("manifest", &bytes) {
            self.manifest(digest, &manifest);
        }
        if let (Ok(list), Some(depth)) =
            (index::parse::<ImageIndex>("index", &bytes), depth.checked_sub(1))
        {
            list.manifests().iter().for_each(|child| self.foreign(store, child.digest(), depth));
        }
    }
}

fn collect(
    store: &Store,
    locked: &Locked<'_>,
    stage: &Stage,
    in_use: &dyn Fn(&str) -> bool,
    removed: &mut Removed,
) -> Result<()> {
    let marks = Marks::of(&store.dir, locked)?;
    for name in store.layers.names()? {
        let id = String::from_utf8_lossy(&name).into_owned();
        if marks.layers.contains(&id) || in_use(&id) {
            continue;
        }
        let size = hold(&store.layers, &id).ok().flatten().map_or(0, |held| held.meta.size);
        if discard_layer(store, stage, &id)? {
            removed.layers.push(id);
            removed.bytes += size;
        }
    }
    let blobs = store.dir.dir("blobs")?;
    for algorithm in ["sha256", "sha512"] {
        let Some(dir) = blobs.find(algorithm)? else {
            continue;
        };
        for name in dir.names()? {
            let name = String::from_utf8_lossy(&name).into_owned();
            let digest = Digest::try_from(format!("{algorithm}:{name}"));
            if !digest.is_ok_and(|digest| marks.blobs.contains(&digest)) {
                removed.bytes += discard_blob(&dir, &name)?;
            }
        }
    }
    Ok(())
}

/// Moves a layer into the stage, which is deleted later, unless it is locked.
fn discard_layer(store: &Store, stage: &Stage, id: &str) -> Result<bool> {
    let Ok(Some(dir)) = store.layers.find(id) else {
        return Ok(false);
    };
    if !try_lock(dir.as_fd(), true)? || !is_current(&store.layers, id, dir.as_fd())? {
        return Ok(false);
    }
    store.layers.rename(id, &stage.dir().dir("trees")?, id)?;
    Ok(true)
}

/// Removes a blob; tells the bytes that became free.
fn discard_blob(dir: &Dir, name: &str) -> Result<u64> {
    let size =
        dir.stat(name.as_bytes())?.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0));
    dir.remove(name)?;
    Ok(size)
}

/// Removes an unfinished download unless somebody goes on with it.
fn discard_download(ingest: &Dir, name: &[u8]) -> Result<u64> {
    let Ok(text) = std::str::from_utf8(name) else {
        return ingest.remove_tree(name).map(|()| 0);
    };
    match ingest.file(text) {
        Ok(Some((file, size))) if try_lock(file.as_fd(), true)? => {
            ingest.remove(text)?;
            Ok(size)
        }
        Ok(_) => Ok(0),
        Err(_) => ingest.remove_tree(name).map(|()| 0),
    }
}

/// Takes back what a load had moved in when it died before its names were
/// written: its list is in the stage `dead`.
pub(crate) fn undo(store: &Store, locked: &Locked<'_>, dead: &Dir) -> Result<()> {
    let Some(bytes) = dead.read("moved", index::DOCUMENT)? else {
        return Ok(());
    };
    let (layers, blobs): (Vec<String>, Vec<String>) = index::parse("moved", &bytes)?;
    let marks = Marks::of(&store.dir, locked)?;
    let stage = Stage::create(&store.dir)?;
    for id in layers.iter().filter(|id| !marks.layers.contains(*id)) {
        if digest::is_hex(id) {
            discard_layer(store, &stage, id)?;
        }
    }
    for name in &blobs {
        let Ok(digest) = Digest::try_from(name.replacen('-', ":", 1)) else {
            continue;
        };
        if !marks.blobs.contains(&digest) {
            let dir = store.dir.dir("blobs")?.find(digest.algorithm().as_ref())?;
            dir.map_or(Ok(0), |dir| discard_blob(&dir, digest.digest()))?;
        }
    }
    Ok(())
}
