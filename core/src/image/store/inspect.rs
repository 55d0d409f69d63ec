//! All that the store knows about one image, and more names for it.
//!
//! Stage `image`, host process.
//!
//! Errors: `image`: not found; invalid input for a name that cannot be given.

use oci_spec::image::{Config, History, ImageConfiguration};
use serde::Serialize;

use crate::error::Result;
use crate::image::store::Store;
use crate::image::store::find;
use crate::image::store::index::{self, Locked};
use crate::image::store::layer::hold_at;
use crate::image::store::list::{Summary, summary};
use crate::image::{Reference, bad, digest};

/// An image in full. As JSON it is the output of `inspect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inspect {
    /// What `list` shows.
    #[serde(flatten)]
    pub summary: Summary,
    /// Digest of the multi-platform index that it came from.
    pub origin: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// What containers of it run, and how.
    pub config: Option<Config>,
    /// How it was built.
    pub history: Vec<History>,
    /// Bottom first.
    #[serde(rename = "layer_details")]
    pub layers: Vec<InspectLayer>,
}

/// A layer as `inspect` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectLayer {
    /// The name of its directory; absent when it is not unpacked.
    pub id: Option<String>,
    /// Digest of the uncompressed tar.
    pub diff_id: String,
    /// Digest of the blob as stored.
    pub blob: String,
    /// Media type of the blob.
    pub media_type: String,
    /// Bytes of the blob.
    pub blob_size: u64,
    /// Bytes of the unpacked files; absent when it is not unpacked.
    pub size: Option<u64>,
}

impl Store {
    /// Everything about the image that `name` means, as [`Store::get`].
    ///
    /// # Errors
    /// Not found; invalid input when a document is damaged.
    pub fn inspect(&self, name: &str) -> Result<Inspect> {
        let records = index::read(&self.dir)?;
        let record = find::one(&records, name)?;
        let manifest = index::manifest(&self.dir, record.manifest.digest())?;
        let config = index::document(&self.dir, &record.config)?;
        let config: ImageConfiguration = index::parse("image config", &config)?;
        let ids = config.rootfs().diff_ids().iter().map(|text| digest::parse("diff_id", text));
        let ids: Vec<_> = ids.collect::<Result<_>>()?;
        let places = digest::chain(&ids);
        let mut layers = Vec::new();
        for ((place, diff_id), blob) in places.iter().zip(&ids).zip(manifest.layers()) {
            let held = hold_at(&self.layers, place, diff_id)?;
            layers.push(InspectLayer {
                size: held.as_ref().map(|held| held.meta.size),
                id: held.map(|held| held.id),
                diff_id: diff_id.to_string(),
                blob: blob.digest().to_string(),
                media_type: blob.media_type().to_string(),
                blob_size: blob.size(),
            });
        }
        Ok(Inspect {
            summary: summary(&self.dir, record, &records)?,
            origin: record.origin.as_ref().map(ToString::to_string),
            author: config.author().clone(),
            config: config.config().clone(),
            history: config.history().clone().unwrap_or_default(),
            layers,
        })
    }

    /// Gives the image that `name` means one more name. An image that had
    /// `new` loses it.
    ///
    /// # Errors
    /// Not found; invalid input when `new` is no name or has a digest.
    pub fn tag(&self, name: &str, new: &str) -> Result<()> {
        let new = Reference::parse(new)?;
        if new.digest().is_some() {
            return Err(bad(format!("an image cannot be named {new}: it has a digest")));
        }
        let mut locked = Locked::open(&self.dir)?;
        let record = find::one(&locked.records, name)?.clone();
        locked.name(&record, &new.to_string());
        locked.write()
    }
}
