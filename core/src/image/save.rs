//! Writes images as archives that other tools load.
//!
//! Stage `image`, host process. The same images give the same bytes each time:
//! fixed order, owner, mode and time. An OCI archive has the blobs just as
//! they came in, so all digests stay; a Docker archive has uncompressed
//! layers, which is what every version of `docker load` reads.
//!
//! Errors: `image`: not found; the writer's error.
//! Sources: image-spec `image-layout.md`, Docker image specification v1.2.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::atomic::AtomicU64;

use oci_spec::image::{ANNOTATION_REF_NAME, Descriptor, Digest, ImageConfiguration};
use tar::{Builder, EntryType, Header};

use crate::error::{Error, ErrorKind, Result, Stage as Step_};
use crate::image::compression::{Label, decode};
use crate::image::digest::{Hasher, Hashing, verify};
use crate::image::limits::{Budget, Limits, Step};
use crate::image::source::{docker::Item, staged_blob};
use crate::image::store::Store;
use crate::image::store::find;
use crate::image::store::index::{self, Record, blob_path};
use crate::image::store::stage::{Stage, link};
use crate::image::{Reference, bad, digest, unwrap_io};

/// The form of a saved archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveFormat {
    /// An OCI layout in a tar: `oci-archive:` of skopeo and podman.
    Oci,
    /// What `docker save` writes: `docker-archive:`.
    Docker,
}

/// An image to save and the names it has in the archive.
struct Saved {
    record: Record,
    names: BTreeSet<String>,
    config: ImageConfiguration,
    layers: Vec<Descriptor>,
}

impl Store {
    /// Writes the images that `names` mean (as for [`Store::get`]) into one
    /// uncompressed archive. Names given as references are kept in it; an
    /// image given by id is saved without a name. An error leaves a part of
    /// the archive in `writer`.
    ///
    /// # Errors
    /// Not found; invalid input for an empty list; the writer's error.
    pub fn save(
        &self,
        names: &[&str],
        format: ArchiveFormat,
        writer: &mut dyn Write,
    ) -> Result<()> {
        if names.is_empty() {
            return Err(bad("no image to save"));
        }
        // Links in a stage keep the blobs while a collector is at work.
        let stage = Stage::create(&self.dir)?;
        let images = self.choose(names)?;
        for digest in images.iter().flat_map(Saved::blobs) {
            self.keep(&stage, digest)?;
        }
        let mut archive = Builder::new(writer);
        match format {
            ArchiveFormat::Oci => oci(&stage, &images, &mut archive)?,
            ArchiveFormat::Docker => docker(&stage, &images, &mut archive)?,
        }
        archive.into_inner().and_then(|writer| writer.flush()).map_err(|e| unwrap_io("write", e))
    }

    fn choose(&self, names: &[&str]) -> Result<Vec<Saved>> {
        let records = index::read(&self.dir)?;
        let mut images: Vec<Saved> = Vec::new();
        for name in names {
            let record = find::one(&records, name)?;
            let named = Reference::parse(name).is_ok_and(|r| find::is_named(record, &r));
            let full = record.name.clone().filter(|_| named);
            if let Some(known) = images.iter_mut().find(|known| known.record.same_image(record)) {
                known.names.extend(full);
                continue;
            }
            let config = index::document(&self.dir, &record.config)?;
            images.push(Saved {
                record: record.clone(),
                names: full.into_iter().collect(),
                config: index::parse("image config", &config)?,
                layers: index::manifest(&self.dir, record.manifest.digest())?.layers().clone(),
            });
        }
        Ok(images)
    }

    fn keep(&self, stage: &Stage, digest: &Digest) -> Result<()> {
        let from = self.dir.find(&format!("blobs/{}", digest.algorithm()))?;
        let to = stage.dir().dir("blobs")?;
        let kept =
            from.map_or(Ok(false), |from| link(&from, digest.digest(), &to, &staged_blob(digest)))?;
        if kept {
            return Ok(());
        }
        Err(Error::new(
            Step_::Image,
            ErrorKind::NotFound,
            format!("the store lacks the blob {digest}"),
        )
        .with_hint("load or pull the image again"))
    }
}

impl Saved {
    fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let documents = [self.record.manifest.digest(), &self.record.config];
        documents.into_iter().chain(self.layers.iter().map(Descriptor::digest))
    }
}

fn oci(stage: &Stage, images: &[Saved], archive: &mut Builder<&mut dyn Write>) -> Result<()> {
    let mut manifests = Vec::new();
    for image in images {
        let names = image.names.iter().map(Some);
        let names: Vec<_> = if image.names.is_empty() { vec![None] } else { names.collect() };
        for name in names {
            let mut descriptor = image.record.manifest.clone();
            descriptor.set_annotations(name.map(|name| {
                // The one is the standard's, the other is read by `docker load`.
                [ANNOTATION_REF_NAME, "io.containerd.image.name"]
                    .map(|key| (key.to_owned(), name.clone()))
                    .into()
            }));
            manifests.push(descriptor);
        }
    }
    bytes(archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    bytes(archive, "index.json", &index::encode(manifests)?)?;
    let blobs: BTreeMap<String, &Digest> =
        images.iter().flat_map(Saved::blobs).map(|digest| (blob_path(digest), digest)).collect();
    let mut folders: BTreeSet<&str> = BTreeSet::from(["blobs/"]);
    folders.extend(blobs.keys().filter_map(|path| path.get(..=path.rfind('/')?)));
    for folder in folders {
        let mut header = header(EntryType::Directory, 0o755, 0);
        append(archive, &mut header, folder, std::io::empty())?;
    }
    for (path, digest) in blobs {
        let (file, size) = staged(stage, digest)?;
        append(archive, &mut header(EntryType::Regular, 0o644, size), &path, file.take(size))?;
    }
    Ok(())
}

fn docker(stage: &Stage, images: &[Saved], archive: &mut Builder<&mut dyn Write>) -> Result<()> {
    let mut items = Vec::new();
    let mut written = BTreeSet::new();
    for image in images {
        let mut layers = Vec::new();
        for (diff_id, blob) in image.config.rootfs().diff_ids().iter().zip(&image.layers) {
            let diff_id = digest::parse("diff_id", diff_id)?;
            let path = format!("{}.tar", diff_id.digest());
            if written.insert(path.clone()) {
                layer(stage, archive, &path, &diff_id, blob)?;
            }
            layers.push(path);
        }
        let path = format!("{}.json", image.record.config.digest());
        if written.insert(path.clone()) {
            let (file, size) = staged(stage, &image.record.config)?;
            append(archive, &mut header(EntryType::Regular, 0o644, size), &path, file.take(size))?;
        }
        // The full form: docker shortens it, podman would take a short one for
        // a name of its own (`localhost/…`).
        let names = image.names.iter().cloned().collect();
        items.push(Item { config: path, repo_tags: Some(names), layers });
    }
    bytes(archive, "manifest.json", &index::render(&items)?)
}

/// Writes one layer uncompressed. A tar header needs the size in front, so
/// the blob is read twice.
fn layer(
    stage: &Stage,
    archive: &mut Builder<&mut dyn Write>,
    path: &str,
    diff_id: &Digest,
    blob: &Descriptor,
) -> Result<()> {
    let budget = Budget::new(&Limits { ratio: u64::MAX, ..Limits::default() }, None, None);
    let label = Label { step: Step::Copy, item: path, total: None };
    let input = AtomicU64::new(0);
    let read = |error| unwrap_io("read", error);
    let (_, mut first) = decode(staged(stage, blob.digest())?.0, label, &budget, &input)?;
    let size = std::io::copy(&mut first, &mut std::io::sink()).map_err(read)?;
    let (_, second) = decode(staged(stage, blob.digest())?.0, label, &budget, &input)?;
    let mut hashing = Hashing::new(second, Hasher::like(diff_id)?);
    let mut header = header(EntryType::Regular, 0o644, size);
    append(archive, &mut header, path, hashing.by_ref().take(size))?;
    verify(&format!("the unpacked layer {}", blob.digest()), diff_id, &hashing.finish().0)
}

fn staged(stage: &Stage, digest: &Digest) -> Result<(std::fs::File, u64)> {
    let found = stage.dir().dir("blobs")?.file(&staged_blob(digest))?;
    found.ok_or_else(|| {
        Error::new(Step_::Image, ErrorKind::Internal, format!("the blob {digest} is not staged"))
    })
}

fn bytes(archive: &mut Builder<&mut dyn Write>, path: &str, bytes: &[u8]) -> Result<()> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    append(archive, &mut header(EntryType::Regular, 0o644, size), path, bytes)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append(
    archive: &mut Builder<&mut dyn Write>,
    header: &mut Header,
    path: &str,
    data: impl Read,
) -> Result<()> {
    header.set_path(path).map_err(|error| unwrap_io("tar", error))?;
    header.set_cksum();
    archive.append(header, data).map_err(|error| unwrap_io("write", error))
}
