//! Where an image comes from, and what is found there.
//!
//! Stage `image`, host process. Three forms are read: an OCI layout directory,
//! an archive of one, and what `docker save` writes; archives may be gzip or
//! zstd and come from a file or any reader. All end as [`Content`]: named
//! bytes, which [`oci`] or [`docker`] turn into [`Candidate`]s. Nothing is
//! believed before its digest was computed here.
//!
//! Errors: `image`; a damaged or hostile source is invalid input.
//! Sources: image-spec `image-layout.md`, Docker image specification v1.2.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, Digest, ImageConfiguration, MediaType};
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result, Stage as Step_};
use crate::image::compression::CHUNK;
use crate::image::digest::{Hasher, Hashing, verify};
use crate::image::dir::Dir;
use crate::image::limits::{Budget, Step, exceeded};
use crate::image::store::index;
use crate::image::store::stage::{Stage, link};
use crate::image::{bad, unwrap_io};

pub(crate) mod docker;
pub(crate) mod files;
pub(crate) mod oci;

/// An image to load, or a root file system to import.
pub enum Source {
    /// A file or a directory. `docker-archive:`, `oci-archive:`, `oci:`,
    /// `tar:` and `rootfs:` in front of it say what it must be; without one it
    /// is found out. A reference may follow: `oci:DIR:REFERENCE`.
    Path(PathBuf),
    /// The bytes of an archive, for example standard input.
    Reader(Box<dyn Read + Send>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Source::Reader(_) => f.write_str("Reader"),
        }
    }
}

/// What the prefix of a source asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Any,
    DockerArchive,
    OciArchive,
    OciDirectory,
    Tar,
    Directory,
}

/// A source with its prefix taken apart.
pub(crate) enum Opened {
    Directory(Dir),
    Stream { reader: Box<dyn Read + Send>, name: String, size: Option<u64> },
}

/// Format, reference and stream or directory of a source.
pub(crate) fn open(source: Source) -> Result<(Format, Option<String>, Opened)> {
    let path = match source {
        Source::Reader(reader) => {
            let stream = Opened::Stream { reader, name: "standard input".to_owned(), size: None };
            return Ok((Format::Any, None, stream));
        }
        Source::Path(path) => path,
    };
    let (format, path, reference) = split_prefix(&path);
    let meta = std::fs::metadata(&path)
        .map_err(|error| Error::io(Step_::Image, format!("stat({path:?})"), error))?;
    let wrong = |what: &str| Err(bad(format!("{path:?} is {what}")));
    if meta.is_dir() {
        return match format {
            Format::DockerArchive | Format::OciArchive | Format::Tar => wrong("a directory"),
            _ => Ok((format, reference, Opened::Directory(Dir::open(&path)?))),
        };
    }
    if matches!(format, Format::OciDirectory | Format::Directory) {
        return wrong("no directory");
    }
    // A FIFO or a socket is a fine source: bash makes them from `<(…)`.
    let file = File::open(&path)
        .map_err(|error| Error::io(Step_::Image, format!("open({path:?})"), error))?;
    let file = crate::sys::high(file.into())
        .map_err(|errno| Error::sys(Step_::Image, "fcntl(F_DUPFD_CLOEXEC)", errno))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let stream = Opened::Stream {
        reader: Box::new(File::from(file)),
        name,
        size: meta.is_file().then_some(meta.len()),
    };
    Ok((format, reference, stream))
}

fn split_prefix(path: &Path) -> (Format, PathBuf, Option<String>) {
    let Some(text) = path.to_str().filter(|_| !path.exists()) else {
        return (Format::Any, path.to_owned(), None);
    };
    for (prefix, format) in [
        ("docker-archive:", Format::DockerArchive),
        ("oci-archive:", Format::OciArchive),
        ("oci:", Format::OciDirectory),
        ("tar:", Format::Tar),
        ("rootfs:", Format::Directory),
    ] {
        let Some(rest) = text.strip_prefix(prefix) else {
            continue;
        };
        return match rest.split_once(':') {
            Some((path, reference)) if !Path::new(rest).exists() && !reference.is_empty() => {
                (format, PathBuf::from(path), Some(reference.to_owned()))
            }
            _ => (format, PathBuf::from(rest), None),
        };
    }
    (Format::Any, path.to_owned(), None)
}

/// Named bytes of a source.
#[derive(Debug)]
pub(crate) enum Content {
    /// An OCI layout directory.
    Directory(Dir),
    /// The files of an archive, staged.
    Files(files::Files),
    /// Nothing to read: all blobs are in the stage already.
    Staged,
}

impl Content {
    /// Reads a document; `None` where there is none of that name.
    pub(crate) fn document(&self, name: &str, budget: &Budget<'_>) -> Result<Option<Vec<u8>>> {
        let limit = budget.limits.document;
        match self {
            Content::Directory(dir) => dir.read(name, limit),
            Content::Files(files) => files.read(name, limit),
            Content::Staged => Ok(None),
        }
    }

    /// Reads a blob that is a document, and checks size and digest.
    pub(crate) fn blob_document(
        &self,
        wanted: &Descriptor,
        budget: &Budget<'_>,
    ) -> Result<Vec<u8>> {
        let (digest, size) = (wanted.digest(), wanted.size());
        if size > budget.limits.document {
            return Err(exceeded("a document that is too long", budget.limits.document));
        }
        let bytes = self.document(&index::blob_path(digest), budget)?;
        let bytes = bytes.ok_or_else(|| missing(digest))?;
        check_size(digest, size, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        let mut hasher = Hasher::like(digest)?;
        hasher.update(&bytes);
        verify("a blob", digest, &hasher.finish())?;
        Ok(bytes)
    }

    /// Brings a layer's blob into the stage, verified.
    pub(crate) fn adopt(
        &self,
        wanted: &Descriptor,
        store: &Dir,
        stage: &Stage,
        budget: &Budget<'_>,
    ) -> Result<()> {
        let (digest, size) = (wanted.digest(), wanted.size());
        let name = staged_blob(digest);
        let blobs = stage.dir().dir("blobs")?;
        let known = store.find(&format!("blobs/{}", digest.algorithm()))?;
        let link = |known: Dir| link(&known, digest.digest(), &blobs, &name);
        known.map_or(Ok(false), link)?;
        if let Some(found) = blobs.stat(name.as_bytes())? {
            return check_size(digest, size, u64::try_from(found.st_size).unwrap_or(0));
        }
        let file = match self {
            Content::Staged => return Err(missing(digest)),
            Content::Files(files) => match files.adopt(digest, size, &blobs, &name)? {
                files::Adopted::Linked => return Ok(()),
                files::Adopted::Unverified(file) => file,
                files::Adopted::Missing => return Err(missing(digest)),
            },
            Content::Directory(dir) => {
                let found = dir.file(&index::blob_path(digest))?;
                let (file, found) = found.ok_or_else(|| missing(digest))?;
                check_size(digest, size, found)?;
                file
            }
        };
        copy_verified(file, digest, size, &blobs, &name, budget)
    }
}

/// Parses a document of a source. What it may become in memory is counted
/// first: `{}` is 3 bytes of an array, but a large value.
pub(crate) fn parse<T: DeserializeOwned>(
    what: &str,
    bytes: &[u8],
    budget: &Budget<'_>,
) -> Result<T> {
    const VALUE: usize = 128;
    budget.keep(&[bytes.len(), values(bytes).saturating_mul(VALUE)])?;
    index::parse(what, bytes)
}

/// Values and keys of a JSON document, at least.
fn values(json: &[u8]) -> usize {
    let (mut count, mut inside, mut escaped) = (1, false, false);
    for byte in json {
        match (byte, inside) {
            (_, true) if escaped => escaped = false,
            (b'\\', true) => escaped = true,
            (b'"', _) => inside = !inside,
            (b',' | b'[' | b'{', false) => count += 1,
            _ => {}
        }
    }
    count
}

/// The name of a blob in a stage.
pub(crate) fn staged_blob(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm(), digest.digest())
}

fn copy_verified(
    file: File,
    digest: &Digest,
    size: u64,
    to: &Dir,
    name: &str,
    budget: &Budget<'_>,
) -> Result<()> {
    budget.stage(size)?;
    let mut copy = to.create(name)?;
    // One byte more than promised is enough to know that it is too long.
    let mut from = Hashing::new(file.take(size.saturating_add(1)), Hasher::like(digest)?);
    let shown = digest.to_string();
    let mut buffer = vec![0; CHUNK];
    let mut done: u64 = 0;
    loop {
        budget.check()?;
        let n = from.read(&mut buffer).map_err(|error| unwrap_io("read", error))?;
        if n == 0 {
            break;
        }
        std::io::Write::write_all(&mut copy, &buffer[..n])
            .map_err(|error| unwrap_io(&format!("write({:?})", to.name(name.as_bytes())), error))?;
        done += u64::try_from(n).unwrap_or(u64::MAX);
        budget.report(Step::Copy, &shown, done, Some(size));
    }
    let (found, bytes) = from.finish();
    check_size(digest, size, bytes)?;
    verify("a blob", digest, &found)
}

fn missing(digest: &Digest) -> Error {
    bad(format!("the blob {digest} is missing"))
        .with_hint("the image was saved or copied only in part")
}

pub(crate) fn check_size(digest: &Digest, wanted: u64, found: u64) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    Err(bad(format!("the blob {digest} has {found} bytes or more, not {wanted}")))
}

/// Images of one source, and names of all of them.
const IMAGES: usize = 1000;

/// An error if a source has more images or names than that.
pub(crate) fn check_count(images: usize, names: usize) -> Result<()> {
    match (images > IMAGES, names > IMAGES) {
        (true, _) => Err(exceeded("too many images in its archive", IMAGES)),
        (_, true) => Err(exceeded("too many names in its archive", IMAGES)),
        _ => Ok(()),
    }
}

/// One image of a source: all documents read and checked, no layer yet.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) manifest: Descriptor,
    pub(crate) manifest_bytes: Vec<u8>,
    pub(crate) config: Digest,
    pub(crate) config_bytes: Vec<u8>,
    pub(crate) configuration: ImageConfiguration,
    /// Blobs of the layers, bottom first.
    pub(crate) layers: Vec<Descriptor>,
    /// As many as layers.
    pub(crate) diff_ids: Vec<Digest>,
    /// Names that the source gives, full form.
    pub(crate) names: Vec<String>,
    /// The multi-platform index it was chosen from.
    pub(crate) origin: Option<Digest>,
}

impl Candidate {
    /// Checks what manifest and config say together.
    pub(crate) fn new(
        manifest: (Descriptor, Vec<u8>),
        config: (Digest, Vec<u8>),
        layers: Vec<Descriptor>,
        budget: &Budget<'_>,
    ) -> Result<Candidate> {
        let what = format!("image config {}", config.0);
        let configuration: ImageConfiguration = parse(&what, &config.1, budget)?;
        let diff_ids = configuration.rootfs().diff_ids().iter();
        let diff_ids: Vec<Digest> = diff_ids
            .map(|text| crate::image::digest::parse("diff_id", text))
            .collect::<Result<_>>()?;
        if diff_ids.len() != layers.len() {
            let (ids, blobs) = (diff_ids.len(), layers.len());
            return Err(bad(format!("{what} has {ids} diff_ids for {blobs} layers")));
        }
        if layers.len() > budget.limits.layers {
            return Err(exceeded("too many layers", budget.limits.layers));
        }
        for layer in &layers {
            Hasher::like(layer.digest())?;
        }
        Ok(Candidate {
            manifest: manifest.0,
            manifest_bytes: manifest.1,
            config: config.0,
            config_bytes: config.1,
            configuration,
            layers,
            diff_ids,
            names: Vec::new(),
            origin: None,
        })
    }
}

/// A descriptor of bytes that are at hand.
pub(crate) fn describe(media_type: MediaType, bytes: &[u8]) -> Descriptor {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Descriptor::new(media_type, size, crate::image::digest::of(bytes))
}

/// An error for sources that hold no image.
pub(crate) fn no_image(what: impl Into<String>) -> Error {
    Error::new(Step_::Image, ErrorKind::InvalidInput, what)
}
