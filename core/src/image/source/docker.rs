//! Finds the images of a `docker save` archive.
//!
//! Stage `image`, host process. `manifest.json` lists for each image its
//! config, its names and its layers by file name; an OCI manifest is made of
//! it, the same each time. Config and layers stay byte for byte what they
//! are, so the image keeps its id.
//!
//! Errors: `image`, invalid input.
//! Sources: Docker image specification v1.2 ("Combined Image JSON + Filesystem
//! Changeset Format"), moby#44833 (layers may be compressed).

use oci_spec::image::{Descriptor, ImageManifestBuilder, MediaType};
use serde::{Deserialize, Serialize};

use super::files::Files;
use super::oci::Selection;
use super::{Candidate, Content, check_count, describe, no_image, parse};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::compression::{Compression, sniff};
use crate::image::limits::{Budget, exceeded};
use crate::image::store::index;
use crate::image::{Reference, bad};

/// One image of `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Item {
    pub(crate) config: String,
    pub(crate) repo_tags: Option<Vec<String>>,
    pub(crate) layers: Vec<String>,
}

/// All images of the archive that are wanted.
pub(crate) fn find(
    content: &Content,
    selection: &Selection,
    budget: &Budget<'_>,
) -> Result<Vec<Candidate>> {
    let Content::Files(files) = content else {
        return Err(no_image("manifest.json outside an archive"));
    };
    let bytes = files.read("manifest.json", budget.limits.document)?;
    let bytes = bytes.ok_or_else(|| no_image("the archive has no file \"manifest.json\""))?;
    let items: Vec<Item> = parse("manifest.json", &bytes, budget)?;
    let names = items.iter().filter_map(|item| item.repo_tags.as_ref()).map(Vec::len);
    check_count(items.len(), names.sum())?;
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for item in &items {
        let mut names = Vec::new();
        for tag in item.repo_tags.iter().flatten().filter(|tag| *tag != "<none>:<none>") {
            names.push(Reference::parse(tag)?.to_string());
        }
        if let Some(wanted) = &selection.reference {
            let wanted = Reference::parse(wanted)?.to_string();
            if !names.contains(&wanted) {
                others.append(&mut names);
                continue;
            }
            names = vec![wanted];
        }
        let mut candidate = image(files, item, budget)?;
        candidate.names = names;
        found.push(candidate);
    }
    match (found.is_empty(), &selection.reference) {
        (false, _) => Ok(found),
        (true, Some(wanted)) => {
            let text = format!("the image archive has no {wanted:?}");
            Err(Error::new(Stage::Image, ErrorKind::NotFound, text)
                .with_hint(format!("it has {others:?}")))
        }
        (true, None) => Err(no_image("the archive's manifest.json lists no image")),
    }
}

fn image(files: &Files, item: &Item, budget: &Budget<'_>) -> Result<Candidate> {
    let missing =
        |name: &str| bad(format!("the archive lacks the file {name:?} of its manifest.json"));
    let config = files.read(&item.config, budget.limits.document)?;
    let config = config.ok_or_else(|| missing(&item.config))?;
    if item.layers.len() > budget.limits.layers {
        return Err(exceeded("too many layers", budget.limits.layers));
    }
    let mut layers = Vec::new();
    for name in &item.layers {
        let (size, digest) = files.digest(name).ok_or_else(|| missing(name))?;
        let media_type = match sniff(&files.head(name)?)? {
            Compression::None => MediaType::ImageLayer,
            Compression::Gzip => MediaType::ImageLayerGzip,
            Compression::Zstd => MediaType::ImageLayerZstd,
        };
        layers.push(Descriptor::new(media_type, size, digest.clone()));
    }
    let described = describe(MediaType::ImageConfig, &config);
    // File names of the config say its digest; both forms are in use.
    let stem = item.config.rsplit('/').next().unwrap_or_default();
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    if stem.len() == 64 && stem.bytes().all(|b| b.is_ascii_hexdigit()) {
        let wanted = crate::image::digest::parse("config", &format!("sha256:{stem}"))?;
        crate::image::digest::verify("the image config", &wanted, described.digest())?;
    }
    let bytes = manifest(&described, &layers)?;
    let digest = described.digest().clone();
    Candidate::new(
        (describe(MediaType::ImageManifest, &bytes), bytes),
        (digest, config),
        layers,
        budget,
    )
}

/// The manifest of an image that comes without one.
pub(crate) fn manifest(config: &Descriptor, layers: &[Descriptor]) -> Result<Vec<u8>> {
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(config.clone())
        .layers(layers.to_vec())
        .build()
        .map_err(|error| {
            Error::new(Stage::Image, ErrorKind::Internal, format!("manifest: {error}"))
        })?;
    index::render(&manifest)
}
