//! A layer, unpacked from its blob into the stage.
//!
//! Stage `image`, host process and its worker threads: decompression, digest
//! and unpacking in one pass over the blob.
//!
//! Errors: `image`.

use std::io::BufReader;
use std::sync::atomic::AtomicU64;

use oci_spec::image::Digest;

use crate::error::{Error, ErrorKind, Result, Stage as Step};
use crate::image::compression::{CHUNK, Label, decode};
use crate::image::digest::{Hasher, Hashing};
use crate::image::dir::Dir;
use crate::image::limits::{Budget, Step as Progress};
use crate::image::source::staged_blob;
use crate::image::store::RootDirectory;
use crate::image::store::layer::Meta;
use crate::image::store::stage::Stage;
use crate::image::tar::Archive;
use crate::image::unpack::{Unpacked, attributes::Ownership, unpack};

/// A layer that was unpacked in the stage.
pub(crate) struct Tree<'a> {
    /// Its name among the trees of the stage.
    pub(super) name: String,
    pub(super) dir: Dir,
    pub(super) fs: Dir,
    pub(super) unpacked: Unpacked<'a>,
    pub(super) meta: Meta,
}

/// Unpacks a staged blob into a new tree of the stage.
pub(crate) fn unpack_blob<'a>(
    stage: &Stage,
    blob: &Digest,
    hasher: Hasher,
    ownership: Ownership<'a>,
    budget: &Budget<'_>,
) -> Result<(Tree<'a>, Digest)> {
    let trees = stage.dir().dir("trees")?;
    let (name, dir) = stage.fresh(&trees)?;
    let fs = dir.make("fs")?;
    let path = format!("blobs/{}", staged_blob(blob));
    let (file, size) = stage.dir().file(&path)?.ok_or_else(|| {
        Error::new(Step::Image, ErrorKind::Internal, format!("{path} is not staged"))
    })?;
    let (shown, input) = (blob.to_string(), AtomicU64::new(0));
    let label = Label { step: Progress::Unpack, item: &shown, total: Some(size) };
    let (_, decoder) = decode(file, label, budget, &input)?;
    let reader = BufReader::with_capacity(CHUNK, Hashing::new(decoder, hasher));
    let mut archive = Archive::new(reader, &budget.limits);
    let unpacked = unpack(&mut archive, &fs, ownership, budget)?;
    let (found, tar_size) = archive.finish()?.into_inner().finish();
    let root = unpacked.root.as_ref();
    let meta = Meta {
        diff_id: found.to_string(),
        blob: shown,
        tar_size,
        size: unpacked.bytes,
        entries: unpacked.entries,
        root: root.map(|root| RootDirectory { mode: root.mode, uid: root.uid, gid: root.gid }),
        stacked: false,
        overlay: ownership.marker.word().to_owned(),
    };
    let tree = Tree { name, dir, fs, unpacked, meta };
    Ok((tree, found))
}
