//! The store's `index.json`: which names and images there are.
//!
//! Stage `image`, host process. The file is a plain OCI index: one descriptor
//! for each name, `org.opencontainers.image.ref.name` holds the full name, an
//! image without a name has one descriptor without it. Readers take the file
//! as it is; writers hold the lock `index.lock` from reading to renaming, so
//! that two processes that load at once are both right.
//!
//! Errors: `image`; a damaged index is invalid input.
//! Sources: image-spec `image-layout.md`, `image-index.md`, `annotations.md`.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use oci_spec::image::{
    ANNOTATION_REF_NAME, Descriptor, Digest, ImageIndex, ImageIndexBuilder, ImageManifest,
    MediaType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::dir::{Dir, failed, open_at};
use crate::image::{bad, digest, unwrap_io};
use crate::sys;

/// Bytes of a JSON document in the store. Larger ones were never written.
pub(crate) const DOCUMENT: u64 = 64 << 20;

/// Annotation: the config's digest, which is the image's id.
const CONFIG: &str = "org.libctr.image.config";
/// Annotation: the digest of the multi-platform index it was chosen from.
const ORIGIN: &str = "org.libctr.image.origin";

/// One line of the index.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// The manifest.
    pub(crate) manifest: Descriptor,
    /// The image's id.
    pub(crate) config: Digest,
    /// The full name, for example `docker.io/library/busybox:latest`.
    pub(crate) name: Option<String>,
    /// The index that the manifest was chosen from.
    pub(crate) origin: Option<Digest>,
}

impl Record {
    /// Whether both are the same image.
    pub(crate) fn same_image(&self, other: &Record) -> bool {
        self.manifest.digest() == other.manifest.digest()
    }

    fn read(store: &Dir, descriptor: &Descriptor) -> Result<Option<Record>> {
        if !is_manifest(descriptor.media_type()) {
            // Written by another tool; it is kept as it is and not an image.
            return Ok(None);
        }
        let note = |key: &str| descriptor.annotations().as_ref().and_then(|notes| notes.get(key));
        let config = match note(CONFIG) {
            Some(text) => digest::parse("config", text)?,
            None => manifest(store, descriptor.digest())?.config().digest().clone(),
        };
        let origin = note(ORIGIN).map(|text| digest::parse("index", text)).transpose()?;
        let name = note(ANNOTATION_REF_NAME).cloned();
        let mut manifest = descriptor.clone();
        manifest.set_annotations(None);
        Ok(Some(Record { manifest, config, name, origin }))
    }

    fn write(&self) -> Descriptor {
        let mut notes = HashMap::from([(CONFIG.to_owned(), self.config.to_string())]);
        if let Some(name) = &self.name {
            notes.insert(ANNOTATION_REF_NAME.to_owned(), name.clone());
        }
        if let Some(origin) = &self.origin {
            notes.insert(ORIGIN.to_owned(), origin.to_string());
        }
        let mut descriptor = self.manifest.clone();
        descriptor.set_annotations(Some(notes));
        descriptor
    }
}

/// A manifest of one image, in either dialect.
pub(crate) fn is_manifest(media_type: &MediaType) -> bool {
    matches!(
        media_type.as_ref(),
        "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json"
    )
}

/// A list of manifests, in either dialect.
pub(crate) fn is_index(media_type: &MediaType) -> bool {
    matches!(
        media_type.as_ref(),
        "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json"
    )
}

/// Parses a JSON document; `what` names it in errors.
pub(crate) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let json = &mut serde_json::Deserializer::from_slice(bytes);
    let document = serde_path_to_error::deserialize(&mut *json);
    let document = document.map_err(|error| bad(format!("{what}: {error}")))?;
    json.end().map_err(|error| bad(format!("{what}: {error}")))?;
    Ok(document)
}

/// Writes a JSON document with sorted keys, so that it is the same each time.
pub(crate) fn render<T: Serialize>(document: &T) -> Result<Vec<u8>> {
    serde_json::to_value(document)
        .and_then(|value| serde_json::to_vec(&value))
        .map_err(|error| Error::new(Stage::Image, ErrorKind::Internal, format!("json: {error}")))
}

/// The path of a blob in a layout.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.digest())
}

/// Reads a JSON blob of the store.
pub(crate) fn document(store: &Dir, digest: &Digest) -> Result<Vec<u8>> {
    store.read(&blob_path(digest), DOCUMENT)?.ok_or_else(|| {
        Error::new(Stage::Image, ErrorKind::NotFound, format!("the store lacks the blob {digest}"))
            .with_hint("load or pull the image again")
    })
}

/// Reads a manifest of the store.
pub(crate) fn manifest(store: &Dir, digest: &Digest) -> Result<ImageManifest> {
    parse(&format!("manifest {digest}"), &document(store, digest)?)
}

/// Reads the index as it is now.
pub(crate) fn read(store: &Dir) -> Result<Vec<Record>> {
    let (records, _) = load(store)?;
    Ok(records)
}

fn load(store: &Dir) -> Result<(Vec<Record>, Vec<Descriptor>)> {
    let bytes = store.read("index.json", DOCUMENT)?.ok_or_else(|| {
        let path = store.path().join("index.json");
        Error::new(Stage::Image, ErrorKind::NotFound, format!("{path:?} does not exist"))
    })?;
    let index: ImageIndex = parse("index.json of the store", &bytes)?;
    let (mut records, mut others) = (Vec::new(), Vec::new());
    for descriptor in index.manifests() {
        match Record::read(store, descriptor)? {
            Some(record) => records.push(record),
            None => others.push(descriptor.clone()),
        }
    }
    Ok((records, others))
}

/// The bytes of an index file.
pub(crate) fn encode(manifests: Vec<Descriptor>) -> Result<Vec<u8>> {
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()
        .map_err(|error| {
            Error::new(Stage::Image, ErrorKind::Internal, format!("index: {error}"))
        })?;
    render(&index)
}

/// The index under its lock. Blobs and layers that it does not name may be
/// removed only while this exists, and must be named before it ends.
#[derive(Debug)]
pub(crate) struct Locked<'s> {
    store: &'s Dir,
    pub(crate) records: Vec<Record>,
    others: Vec<Descriptor>,
    _lock: OwnedFd,
}

impl<'s> Locked<'s> {
    /// Waits for the lock and reads the index.
    pub(crate) fn open(store: &'s Dir) -> Result<Locked<'s>> {
        let lock = Locked::first(store)?;
        let (records, others) = load(store)?;
        Ok(Locked { store, records, others, _lock: lock })
    }

    /// Waits for the lock alone, where there may be no index yet.
    pub(crate) fn first(store: &Dir) -> Result<OwnedFd> {
        let name = "index.lock";
        let flags = OFlag::O_CREAT | OFlag::O_RDWR;
        let fd = open_at(store.as_fd(), name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|errno| failed("openat", &store.path().join(name), errno))?;
        let file = File::from(sys::dup(fd.as_fd()).map_err(|e| unwrap_io("dup", e.into()))?);
        loop {
            match file.lock() {
                Ok(()) => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unwrap_io("flock", error)),
            }
        }
        Ok(fd)
    }

    /// Gives `name` to an image; an image that loses its last name stays,
    /// without one.
    pub(crate) fn name(&mut self, image: &Record, name: &str) {
        let taken: Vec<Record> = self.take(|record| record.name.as_deref() == Some(name));
        self.take(|record| record.name.is_none() && record.same_image(image));
        self.records.push(Record { name: Some(name.to_owned()), ..image.clone() });
        for record in taken {
            self.keep(&record);
        }
    }

    /// Makes sure that an image is there, with or without a name.
    pub(crate) fn keep(&mut self, image: &Record) {
        if !self.records.iter().any(|record| record.same_image(image)) {
            self.records.push(Record { name: None, ..image.clone() });
        }
    }

    /// Takes all records out that `matches`.
    pub(crate) fn take(&mut self, matches: impl Fn(&Record) -> bool) -> Vec<Record> {
        let (taken, kept) = self.records.drain(..).partition(|record| matches(record));
        self.records = kept;
        taken
    }

    /// Writes the index: afterwards the new state survives a power cut.
    pub(crate) fn write(&self) -> Result<()> {
        let mut manifests: Vec<Descriptor> = self.records.iter().map(Record::write).collect();
        manifests.extend(self.others.iter().cloned());
        let bytes = encode(manifests)?;
        // A longer one could not be read again.
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > DOCUMENT {
            return Err(bad(format!("the store would have more than {DOCUMENT} bytes of names"))
                .with_hint("remove images"));
        }
        self.store.replace("index.json", &bytes)
    }

    /// Ends the lock.
    pub(crate) fn into_records(self) -> Vec<Record> {
        self.records
    }

    /// Blobs that other tools' lines name.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &Descriptor> {
        self.others.iter()
    }
}
