//! The store: images on disk, as a plain OCI layout with unpacked layers.
//!
//! Stage `image`, host process. Any number of processes may use one store at
//! a time.
//!
//! ```text
//! DATA/format                  one number: this layout of the rest
//!      oci-layout index.json   OCI layout, so that other tools read it
//!      blobs/sha256/…          manifests, configs, layers as they came
//!      layers/<id>/{fs,meta.json}   one tree for each layer, in overlay form
//!      ingest/                 downloads to go on with
//!      stage/<random>/         what is being made; without a lock: garbage
//!      index.lock              held while index.json changes
//! ```
//!
//! Errors: `image`; unsupported for a store of a later version or on NFS.
//! Sources: image-spec `image-layout.md`, flock(2)

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::sys::statfs::{NFS_SUPER_MAGIC, fstatfs};
use oci_spec::image::ImageConfiguration;

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::dir::{Dir, failed};
use crate::image::unpack::attributes::Ownership;
use crate::image::{digest, unwrap_io};
use crate::userns::Users;

pub(crate) mod collect;
pub(crate) mod find;
pub(crate) mod index;
mod inspect;
pub(crate) mod layer;
pub(crate) mod list;
pub(crate) mod stage;

pub use collect::Removed;
use index::{Locked, Record};
pub use inspect::{Inspect, InspectLayer};
use layer::hold_at;
pub use layer::{Layer, RootDirectory};
pub use list::Summary;

/// The version of the layout that this code writes and reads.
const FORMAT: &[u8] = b"1\n";

/// The images of one data directory.
#[doc(alias = "ctr_store")]
#[derive(Debug)]
pub struct Store {
    pub(super) dir: Dir,
    pub(super) layers: Dir,
    /// Whose ids the files of layers have; `None`: the host's.
    users: Option<Users>,
}

/// An image that is ready to run: its layers are unpacked, and cannot be
/// removed as long as this value or a duplicate of its locks exists.
#[derive(Debug)]
#[non_exhaustive]
pub struct Image {
    /// `sha256:…` of the config.
    pub id: String,
    /// `sha256:…` of the manifest.
    pub digest: String,
    /// All its names in the store, full form.
    pub names: Vec<String>,
    /// The image's config document.
    pub config: ImageConfiguration,
    /// Bottom first.
    pub layers: Vec<Layer>,
    /// Mode and owner that the container's `/` has. The layers' own root
    /// directories do not tell: an upper directory must be given this.
    pub root: RootDirectory,
    locks: Vec<OwnedFd>,
}

impl Image {
    /// Descriptors that keep the layers, one for each, bottom first: the layers'
    /// directories, with `fs` below. They are close-on-exec; a duplicate in
    /// another process keeps the layers too.
    #[must_use]
    pub fn locks(&self) -> &[OwnedFd] {
        &self.locks
    }
}

impl Store {
    /// Opens the store in `data`, making it (and its missing parents) at first
    /// use, and removes what loads of dead processes left behind.
    ///
    /// # Errors
    /// Unsupported when the store was written by a later version, or when
    /// `data` is on NFS, which cannot hold layers; otherwise the failed call.
    pub fn open(data: &Path) -> Result<Store> {
        let dir = match Dir::open(data) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::DirBuilder::new()
                    .recursive(true)
                    // Set-id files of images are nobody else's business.
                    .mode(0o700)
                    .create(data)
                    .map_err(|error| unwrap_io(&format!("mkdir({data:?})"), error))?;
                Dir::open(data)?
            }
            other => other?,
        };
        match dir.read("format", 64)? {
            Some(format) if format == FORMAT => {}
            Some(format) => return Err(other_format(data, &format)),
            None => create(&dir)?,
        }
        let layers = dir.dir("layers")?;
        let store = Store { dir, layers, users: Users::of_files()? };
        stage::sweep(&store.dir, &|dead| store.undo(dead))?;
        // Whoever writes the index holds its lock, so with the lock a
        // half-written one is nobody's.
        if store.dir.is_half_replaced("index.json")? {
            let _locked = Locked::open(&store.dir)?;
            store.dir.forget_replacement("index.json")?;
        }
        Ok(store)
    }

    /// The image with this name: a reference (`busybox`, `ghcr.io/a/b:1`,
    /// `busybox@sha256:…`), an image id, or the unique beginning of one.
    ///
    /// # Errors
    /// Not found when there is no such image, or when a layer of it is not
    /// unpacked; invalid input when the beginning of an id is not unique.
    pub fn get(&self, name: &str) -> Result<Image> {
        // The image may be removed between the look-up and the locks: then
        // the second look-up says so.
        for _ in 0..3 {
            let records = index::read(&self.dir)?;
            let record = find::one(&records, name)?;
            match self.hold(record, &records) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if index::read(&self.dir)?.iter().any(|known| known.same_image(record)) {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
        Err(Error::new(
            Stage::Image,
            ErrorKind::NotFound,
            format!("no image {name:?}: it was just removed"),
        ))
    }

    fn hold(&self, record: &Record, records: &[Record]) -> Result<Image> {
        let what = format!("image config {}", record.config);
        let bytes = index::document(&self.dir, &record.config)?;
        let config: ImageConfiguration = index::parse(&what, &bytes)?;
        let diff_ids = config.rootfs().diff_ids().iter().map(|text| digest::parse("diff_id", text));
        let diff_ids: Vec<_> = diff_ids.collect::<Result<_>>()?;
        let (mut layers, mut locks) = (Vec::new(), Vec::new());
        let mut root = RootDirectory::default();
        for (chain, diff_id) in digest::chain(&diff_ids).iter().zip(&diff_ids) {
            let held = hold_at(&self.layers, chain, diff_id)?.ok_or_else(|| {
                let text = format!("layer {diff_id} of image {} is not unpacked", record.config);
                Error::new(Stage::Image, ErrorKind::NotFound, text)
                    .with_hint("load or pull the image again")
            })?;
            if held.meta.overlay != self.ownership().marker.word() {
                let text = format!("layer {} was unpacked for another kind of mount", held.id);
                return Err(Error::new(Stage::Image, ErrorKind::Unsupported, text)
                    .with_hint("root and ordinary users need data directories of their own"));
            }
            root = held.meta.root.unwrap_or(root);
            let (layer, lock) = held.into_parts(&self.layers);
            layers.push(layer);
            locks.push(lock);
        }
        let names = records.iter().filter(|known| known.same_image(record));
        Ok(Image {
            id: record.config.to_string(),
            digest: record.manifest.digest().to_string(),
            names: names.filter_map(|record| record.name.clone()).collect(),
            config,
            layers,
            root,
            locks,
        })
    }

    /// The user namespace whose ids the files of layers have.
    pub(super) fn users(&self) -> Option<&Users> {
        self.users.as_ref()
    }

    /// Whose the files of layers are.
    pub(super) fn ownership(&self) -> Ownership<'_> {
        Ownership::of(self.users.as_ref())
    }

    /// Takes back what a load that died during its commit had moved in.
    fn undo(&self, dead: &Dir) -> Result<()> {
        if dead.read("moved", index::DOCUMENT)?.is_some() {
            let locked = Locked::open(&self.dir)?;
            collect::undo(self, &locked, dead)?;
        }
        Ok(())
    }
}

fn other_format(data: &Path, format: &[u8]) -> Error {
    let format = String::from_utf8_lossy(format).trim().to_owned();
    let text = format!("the store {data:?} has format {format:?}, this version reads \"1\"");
    Error::new(Stage::Image, ErrorKind::Unsupported, text)
        .with_hint("use a newer libctr or another data directory")
}

/// Makes the layout; `format` comes last and says that it is complete. Two
/// processes may do so at once: whoever finds `index.json` leaves it.
fn create(dir: &Dir) -> Result<()> {
    let kind = fstatfs(dir.as_fd()).map_err(|errno| failed("fstatfs", dir.path(), errno))?;
    if kind.filesystem_type() == NFS_SUPER_MAGIC {
        let text = format!("{:?} is on NFS, which can hold no image layers", dir.path());
        return Err(Error::new(Stage::Image, ErrorKind::Unsupported, text).with_hint(
            "choose a data directory on a local file system, for example with XDG_DATA_HOME",
        ));
    }
    for part in ["blobs", "layers", "ingest", "stage"] {
        dir.make(part)?;
    }
    dir.dir("blobs")?.make("sha256")?;
    let _lock = Locked::first(dir)?;
    if dir.read("oci-layout", 4096)?.is_none() {
        dir.replace("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    }
    if dir.read("index.json", index::DOCUMENT)?.is_none() {
        dir.replace("index.json", &index::encode(Vec::new())?)?;
    }
    dir.replace("format", FORMAT)
}
