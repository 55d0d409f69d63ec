//! What is in the store, for people.
//!
//! Stage `image`, host process.
//!
//! Errors: `image`; a damaged store is invalid input.

use oci_spec::image::ImageConfiguration;
use serde::Serialize;

use crate::error::Result;
use crate::image::dir::Dir;
use crate::image::store::Store;
use crate::image::store::index::{self, Record};

/// One image of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// `sha256:…` of the config.
    pub id: String,
    /// `sha256:…` of the manifest.
    pub digest: String,
    /// All its names, full form; empty for an image that lost its name.
    pub names: Vec<String>,
    /// RFC 3339, as the config says it.
    pub created: Option<String>,
    /// For example `linux/amd64`.
    pub platform: String,
    /// Bytes of manifest, config and layers as they are stored.
    pub size: u64,
    /// How many layers.
    pub layers: usize,
}

impl Store {
    /// All images, in the order in which they got their (first) name.
    ///
    /// # Errors
    /// Invalid input when the index or a document is damaged.
    pub fn list(&self) -> Result<Vec<Summary>> {
        let records = index::read(&self.dir)?;
        let mut images: Vec<&Record> = Vec::new();
        for record in &records {
            if !images.iter().any(|known| known.same_image(record)) {
                images.push(record);
            }
        }
        images.into_iter().map(|record| summary(&self.dir, record, &records)).collect()
    }
}

/// The summary of one image, with all names that `records` give it.
pub(crate) fn summary(store: &Dir, record: &Record, records: &[Record]) -> Result<Summary> {
    let manifest = index::manifest(store, record.manifest.digest())?;
    let config = index::document(store, &record.config)?;
    let config: ImageConfiguration = index::parse("image config", &config)?;
    let blobs = manifest.layers().iter().map(|layer| layer.size());
    let variant = config.variant().as_ref().map_or(String::new(), |variant| format!("/{variant}"));
    Ok(Summary {
        id: record.config.to_string(),
        digest: record.manifest.digest().to_string(),
        names: records
            .iter()
            .filter(|known| known.same_image(record))
            .filter_map(|known| known.name.clone())
            .collect(),
        created: config.created().clone(),
        platform: format!("{}/{}{variant}", config.os(), config.architecture()),
        size: blobs.fold(record.manifest.size() + manifest.config().size(), u64::saturating_add),
        layers: manifest.layers().len(),
    })
}
