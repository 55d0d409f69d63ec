//! Makes an image of one layer from a root file system.
//!
//! Stage `image`, host process. A tarball is kept as it is, compressed or not,
//! and becomes the layer's blob; a directory is packed (gzip) without changing
//! it. Both then go the way of every layer: unpacked from the blob, its DiffID
//! computed on the way, committed by the transaction.
//!
//! Errors: `image`; see [`Store::import`].

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};
use std::sync::atomic::AtomicBool;

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use oci_spec::image::{
    ConfigBuilder, Descriptor, Digest, HistoryBuilder, ImageConfiguration,
    ImageConfigurationBuilder, MediaType, RootFsBuilder,
};

use crate::error::{Error, ErrorKind, Result, Stage as Step_};
use crate::image::compression::{CHUNK, Compression, sniff};
use crate::image::digest::{Hasher, Hashing};
use crate::image::dir::Dir;
use crate::image::limits::{Budget, Limits, OnProgress, Step};
use crate::image::load::transaction::Transaction;
use crate::image::load::tree::unpack_blob;
use crate::image::source::oci::native;
use crate::image::source::{
    self, Candidate, Content, Format, Opened, Source, describe, docker, staged_blob,
};
use crate::image::store::index;
use crate::image::store::stage::Stage;
use crate::image::store::{Store, Summary};
use crate::image::{Reference, bad, unwrap_io};

mod pack;

/// What an imported image runs, and bounds. Set the fields after
/// [`ImportOptions::default`].
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ImportOptions<'a> {
    /// Default program of its containers; empty means none.
    pub entrypoint: Vec<String>,
    /// Default arguments, or the program when there is no entrypoint.
    pub cmd: Vec<String>,
    /// `NAME=VALUE` each.
    pub env: Vec<String>,
    /// Default working directory.
    pub working_dir: Option<String>,
    /// Default user, as in an image config.
    pub user: Option<String>,
    /// Labels.
    pub labels: HashMap<String, String>,
    /// RFC 3339; `None` leaves it out, so that the same tree is the same image.
    pub created: Option<String>,
    /// Bounds for what the image may cost.
    pub limits: Limits,
    /// Called while it goes on.
    pub progress: Option<OnProgress<'a>>,
    /// As in `LoadOptions`.
    pub cancel: Option<&'a AtomicBool>,
}

impl fmt::Debug for ImportOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportOptions")
            .field("entrypoint", &self.entrypoint)
            .field("cmd", &self.cmd)
            .field("env", &self.env)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Imports the tar of a root file system (plain, gzip or zstd, a file or
    /// any reader) or a directory as an image of one layer. `name` is the
    /// name it gets; `None` leaves it with its id only.
    ///
    /// # Errors
    /// Invalid input for a bad name, a damaged or hostile tar, a limit that is
    /// reached; cancelled; otherwise the failed call. The store stays as it
    /// was.
    pub fn import(
        &self,
        source: Source,
        name: Option<&str>,
        options: &ImportOptions<'_>,
    ) -> Result<Summary> {
        let budget = Budget::new(&options.limits, options.cancel, options.progress);
        let name = name.map(Reference::parse).transpose()?;
        if let Some(name) = name.as_ref().filter(|name| name.digest().is_some()) {
            return Err(bad(format!("an image cannot be named {name}: it has a digest")));
        }
        let stage = Stage::create(&self.dir)?;
        let (format, _, opened) = source::open(source)?;
        if !matches!(format, Format::Any | Format::Tar | Format::Directory) {
            return Err(bad("an image is loaded, not imported"));
        }
        let blob = match opened {
            Opened::Directory(dir) => pack_directory(&dir, &stage, &budget)?,
            Opened::Stream { reader, name, size } => {
                copy_stream(reader, &name, size, &stage, &budget)?
            }
        };
        let (tree, diff_id) =
            unpack_blob(&stage, blob.digest(), Hasher::sha256(), self.ownership(), &budget)?;
        let config = index::render(&configuration(&diff_id, options)?)?;
        let described = describe(MediaType::ImageConfig, &config);
        let manifest = docker::manifest(&described, std::slice::from_ref(&blob))?;
        let mut image = Candidate::new(
            (describe(MediaType::ImageManifest, &manifest), manifest),
            (described.digest().clone(), config),
            vec![blob],
            &budget,
        )?;
        image.names = name.map(|name| name.to_string()).into_iter().collect();
        let mut transaction = Transaction::new(self, stage, &budget);
        transaction.prepare(diff_id, tree);
        let loaded = transaction.run(&Content::Staged, vec![image])?;
        loaded.into_iter().next().ok_or_else(|| {
            Error::new(Step_::Image, ErrorKind::Internal, "an import without an image")
        })
    }
}

fn configuration(diff_id: &Digest, options: &ImportOptions<'_>) -> Result<ImageConfiguration> {
    let some = |list: &Vec<String>| Some(list.clone()).filter(|list| !list.is_empty());
    let broken = |error| Error::new(Step_::Image, ErrorKind::Internal, format!("config: {error}"));
    let mut config = ConfigBuilder::default().build().map_err(broken)?;
    config.set_entrypoint(some(&options.entrypoint));
    config.set_cmd(some(&options.cmd));
    config.set_env(some(&options.env));
    config.set_working_dir(options.working_dir.clone());
    config.set_user(options.user.clone());
    config.set_labels(Some(options.labels.clone()).filter(|labels| !labels.is_empty()));
    let rootfs = RootFsBuilder::default().typ("layers").diff_ids(vec![diff_id.to_string()]);
    let mut history =
        HistoryBuilder::default().created_by("libctr import").build().map_err(broken)?;
    history.set_created(options.created.clone());
    let platform = native();
    let mut image = ImageConfigurationBuilder::default()
        .architecture(platform.architecture().clone())
        .os(platform.os().clone())
        .config(config)
        .rootfs(rootfs.build().map_err(broken)?)
        .history(vec![history])
        .build()
        .map_err(broken)?;
    image.set_created(options.created.clone());
    Ok(image)
}

/// The tar as it comes, as a staged blob.
fn copy_stream(
    mut reader: Box<dyn Read + Send>,
    name: &str,
    total: Option<u64>,
    stage: &Stage,
    budget: &Budget<'_>,
) -> Result<Descriptor> {
    let blobs = stage.dir().dir("blobs")?;
    let mut file = Hashing::new(blobs.create("import")?, Hasher::sha256());
    let mut buffer = vec![0; CHUNK];
    let (mut head, mut done) = (Vec::new(), 0);
    loop {
        budget.check()?;
        let n = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unwrap_io(&format!("read({name:?})"), error)),
        };
        let bytes = u64::try_from(n).unwrap_or(u64::MAX);
        budget.stage(bytes)?;
        if head.len() < 8 {
            head.extend_from_slice(&buffer[..n.min(8)]);
        }
        file.write_all(&buffer[..n]).map_err(|error| unwrap_io("write", error))?;
        done += bytes;
        budget.report(Step::Copy, name, done, total);
    }
    let media_type = match sniff(&head)? {
        Compression::None => MediaType::ImageLayer,
        Compression::Gzip => MediaType::ImageLayerGzip,
        Compression::Zstd => MediaType::ImageLayerZstd,
    };
    finish(&blobs, media_type, file.finish())
}

/// A directory, packed as a staged blob.
fn pack_directory(dir: &Dir, stage: &Stage, budget: &Budget<'_>) -> Result<Descriptor> {
    let blobs = stage.dir().dir("blobs")?;
    let file = Hashing::new(blobs.create("import")?, Hasher::sha256());
    let gzip = GzEncoder::new(file, Level::fast());
    let gzip = pack::pack(dir, gzip, budget)?;
    let file = gzip.finish().map_err(|error| unwrap_io("write", error))?;
    finish(&blobs, MediaType::ImageLayerGzip, file.finish())
}

fn finish(blobs: &Dir, media_type: MediaType, (digest, size): (Digest, u64)) -> Result<Descriptor> {
    blobs.rename("import", blobs, &staged_blob(&digest))?;
    Ok(Descriptor::new(media_type, size, digest))
}
