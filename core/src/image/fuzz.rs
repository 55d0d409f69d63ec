//! What the fuzz targets `layer` and `manifest` call.

use std::path::Path;

use super::dir::Dir;
use super::limits::{Budget, Limits};
use super::source::{Candidate, describe, docker};
use super::store::index;
use super::tar::Archive;
use super::unpack::{attributes::Ownership, unpack};
use crate::error::Result;

/// Unpacks one layer's tar into the empty directory `root`; how many entries
/// it had.
///
/// # Errors
/// Those of a load.
pub fn layer(tar: &[u8], root: &Path, limits: &Limits) -> Result<u64> {
    let budget = Budget::new(limits, None, None);
    let mut archive = Archive::new(tar, limits);
    let done = unpack(&mut archive, &Dir::open(root)?, Ownership::of(None), &budget)?;
    archive.finish()?;
    Ok(done.entries)
}

/// Path and size of each entry of a tar.
///
/// # Errors
/// Those of a load.
pub fn entries(tar: &[u8], limits: &Limits) -> Result<Vec<(Vec<u8>, u64)>> {
    let mut archive = Archive::new(tar, limits);
    let mut found = Vec::new();
    while let Some(entry) = archive.next()? {
        found.push((entry.path, entry.size));
    }
    Ok(found)
}

/// Reads `json` as each kind of document that an image has. What is accepted
/// must be accepted again as it is written.
///
/// # Panics
/// If that is not so.
pub fn documents(json: &[u8]) {
    use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest, OciLayout};
    again::<OciLayout>(json);
    again::<ImageIndex>(json);
    again::<ImageManifest>(json);
    again::<ImageConfiguration>(json);
    again::<Vec<docker::Item>>(json);
    let budget = Budget::new(&Limits::default(), None, None);
    let described = describe(oci_spec::image::MediaType::ImageConfig, json);
    let config = (described.digest().clone(), json.to_vec());
    let _ = Candidate::new((described, Vec::new()), config, Vec::new(), &budget);
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(json: &[u8]) {
    if let Ok(document) = index::parse::<T>("document", json) {
        let written = index::render(&document).unwrap();
        index::parse::<T>("document", &written).unwrap();
    }
}
