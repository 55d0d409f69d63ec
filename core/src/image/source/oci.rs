//! Finds the images of an OCI layout: index, nested indexes, platform.
//!
//! Stage `image`, host process. From an index with several platforms the
//! manifest of this machine's (or the wanted) platform is taken. What is no
//! image (attestations, signatures, charts, unknown media types) is left out,
//! as the specification asks; it is an error only when nothing else is there.
//!
//! Errors: `image`; unsupported when no manifest fits the platform.
//! Sources: image-spec `image-layout.md`, `image-index.md`, `manifest.md`;
//! Go's GOARCH names.

use std::collections::HashMap;

use oci_spec::image::{
    ANNOTATION_REF_NAME, Arch, Descriptor, ImageIndex, ImageManifest, Os, Platform,
};

use super::{Candidate, Content, check_count, no_image, parse};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::limits::{Budget, exceeded};
use crate::image::store::index;
use crate::image::{Reference, bad};

/// containerd's annotation for the full name.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Indexes inside indexes. One level is usual.
const NESTING: usize = 4;
/// Descriptors of all indexes together.
const DESCRIPTORS: usize = 10_000;

/// Which images of a source are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// `linux/ARCH[/VARIANT]`.
    pub(crate) platform: Platform,
    /// A name or tag that the source gives, or a manifest's digest.
    pub(crate) reference: Option<String>,
}

/// This machine's platform.
pub(crate) fn native() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => Arch::Amd64,
        "x86" => Arch::i386,
        "aarch64" => Arch::ARM64,
        "powerpc64" if cfg!(target_endian = "little") => Arch::PowerPC64le,
        other => Arch::from(other),
    };
    let mut platform = Platform::default();
    platform.set_os(Os::Linux);
    platform.set_architecture(architecture);
    platform
}

/// Parses `OS/ARCH[/VARIANT]`, for example `linux/arm64`.
pub(crate) fn parse_platform(text: &str) -> Result<Platform> {
    let parts: Vec<&str> = text.split('/').collect();
    let (["linux", arch], variant) = (match parts.as_slice() {
        [os, arch] => ([*os, *arch], None),
        [os, arch, variant] => ([*os, *arch], Some((*variant).to_owned())),
        _ => (["", ""], None),
    }) else {
        return Err(bad(format!("{text:?} is no platform")).with_hint("for example linux/arm64"));
    };
    let mut platform = native();
    platform.set_architecture(Arch::from(arch));
    platform.set_variant(variant);
    Ok(platform)
}

fn show(platform: &Platform) -> String {
    let variant =
        platform.variant().as_ref().map_or(String::new(), |variant| format!("/{variant}"));
    format!("{}/{}{variant}", platform.os(), platform.architecture())
}

/// How well `offered` runs on `wanted`: smaller is better.
fn distance(wanted: &Platform, offered: &Platform) -> Option<usize> {
    if (wanted.os(), wanted.architecture()) != (offered.os(), offered.architecture()) {
        return None;
    }
    let usual: &[&str] = match wanted.architecture() {
        Arch::Amd64 => &["", "v1"],
        Arch::ARM64 => &["", "v8"],
        Arch::ARM => &["v7", "v6", "", "v5"],
        _ => &[""],
    };
    let offered = offered.variant().as_deref().unwrap_or("");
    match wanted.variant().as_deref() {
        Some(variant) if variant == offered => Some(0),
        Some(variant) if !usual.contains(&variant) || !usual.contains(&offered) => None,
        _ => usual.iter().position(|variant| *variant == offered),
    }
}

struct Search<'a> {
    content: &'a Content,
    selection: &'a Selection,
    budget: &'a Budget<'a>,
    seen: usize,
    /// Platforms that were passed over, for the error message.
    others: Vec<String>,
}

/// All images of the layout that are wanted and fit the platform.
pub(crate) fn find(
    content: &Content,
    selection: &Selection,
    budget: &Budget<'_>,
) -> Result<Vec<Candidate>> {
    let layout = content.document("oci-layout", budget)?;
    let layout = layout.ok_or_else(|| no_image("the OCI layout has no file \"oci-layout\""))?;
    let layout: oci_spec::image::OciLayout = parse("oci-layout", &layout, budget)?;
    if layout.image_layout_version() != "1.0.0" {
        let version = layout.image_layout_version();
        return Err(Error::new(
            Stage::Image,
            ErrorKind::Unsupported,
            format!("image layout version {version:?}"),
        ));
    }
    let top = content.document("index.json", budget)?;
    let top = top.ok_or_else(|| no_image("the OCI layout has no file \"index.json\""))?;
    let top: ImageIndex = parse("index.json", &top, budget)?;
    if top.manifests().len() > DESCRIPTORS {
        return Err(exceeded("too many manifests in its index", DESCRIPTORS));
    }
    let mut search = Search { content, selection, budget, seen: 0, others: Vec::new() };
    let mut found: Vec<Candidate> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut count = 0;
    for group in groups(top.manifests()) {
        let name = annotated(group[0]);
        if !search.is_wanted(&group) {
            names.extend(name.map(|(name, _)| name));
            continue;
        }
        for descriptor in search.choose(&group) {
            let Some(mut candidate) = search.resolve(descriptor, 0)? else {
                continue;
            };
            let full = name.as_ref().and_then(|(name, full)| full.then_some(name));
            candidate.names = full
                .and_then(|name| Reference::parse(name).ok())
                .map(|r| r.to_string())
                .into_iter()
                .collect();
            count += candidate.names.len();
            match found
                .iter_mut()
                .find(|known| known.manifest.digest() == candidate.manifest.digest())
            {
                Some(known) => known.names.append(&mut candidate.names),
                None => found.push(candidate),
            }
            check_count(found.len(), count)?;
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(search.nothing(&names))
}

/// Top-level descriptors that belong together: several platforms under one
/// name, as some builders write them.
fn groups(descriptors: &[Descriptor]) -> Vec<Vec<&Descriptor>> {
    let mut groups: Vec<Vec<&Descriptor>> = Vec::new();
    let mut by_name = HashMap::new();
    for descriptor in descriptors {
        let place = match annotated(descriptor) {
            Some(name) => *by_name.entry(name).or_insert(groups.len()),
            None => groups.len(),
        };
        match groups.get_mut(place) {
            Some(group) => group.push(descriptor),
            None => groups.push(vec![descriptor]),
        }
    }
    groups
}

/// The name that a descriptor is annotated with, and whether it is a full one
/// rather than only a tag.
fn annotated(descriptor: &Descriptor) -> Option<(String, bool)> {
    let notes = descriptor.annotations().as_ref()?;
    if let Some(name) = notes.get(CONTAINERD_NAME) {
        return Some((name.clone(), true));
    }
    let name = notes.get(ANNOTATION_REF_NAME)?;
    Some((name.clone(), name.contains(['/', ':'])))
}

impl Search<'_> {
    fn is_wanted(&self, group: &[&Descriptor]) -> bool {
        let Some(wanted) = &self.selection.reference else {
            return true;
        };
        let full = |text: &str| Reference::parse(text).ok().map(|reference| reference.to_string());
        let by_digest = group.iter().any(|descriptor| descriptor.digest().to_string() == *wanted);
        let by_name = annotated(group[0]).is_some_and(|(name, is_full)| {
            name == *wanted || (is_full && full(&name).is_some() && full(&name) == full(wanted))
        });
        by_digest || by_name
    }

    /// The best of a group by platform; all of it where nothing tells them
    /// apart.
    fn choose<'d>(&mut self, group: &[&'d Descriptor]) -> Vec<&'d Descriptor> {
        let known = group.iter().filter(|d| is_known(d));
        let platforms: Vec<&&Descriptor> =
            known.clone().filter(|d| d.platform().is_some()).collect();
        if platforms.len() < 2 {
            return known.copied().collect();
        }
        self.best(platforms.into_iter().copied()).into_iter().collect()
    }

    fn best<'d>(&mut self, offers: impl Iterator<Item = &'d Descriptor>) -> Option<&'d Descriptor> {
        let wanted = self.selection.platform.clone();
        let mut best: Option<(usize, &Descriptor)> = None;
        for offer in offers {
            let Some(platform) = offer.platform() else {
                continue;
            };
            match distance(&wanted, platform) {
                Some(d) if best.is_none_or(|(known, _)| d < known) => best = Some((d, offer)),
                Some(_) => {}
                None if matches!(platform.os(), Os::Other(os) if os == "unknown") => {}
                None => self.others.push(show(platform)),
            }
        }
        best.map(|(_, offer)| offer)
    }

    /// Follows a descriptor to one image; `None` where it is none for us.
    fn resolve(&mut self, descriptor: &Descriptor, depth: usize) -> Result<Option<Candidate>> {
        self.seen += 1;
        if depth > NESTING || self.seen > DESCRIPTORS {
            return Err(exceeded("indexes that are nested too deep or too long", NESTING));
        }
        if index::is_manifest(descriptor.media_type()) {
            return self.image(descriptor);
        }
        if !index::is_index(descriptor.media_type()) {
            return Ok(None);
        }
        let bytes = self.content.blob_document(descriptor, self.budget)?;
        let what = format!("index {}", descriptor.digest());
        let list: ImageIndex = parse(&what, &bytes, self.budget)?;
        self.seen += list.manifests().len();
        let offers = list.manifests().iter().filter(|d| is_known(d));
        let chosen = match self.best(offers.clone()) {
            Some(best) => Some(best),
            // An index of one image need not say for which platform it is.
            None => Some(offers.filter(|d| d.platform().is_none()).collect::<Vec<_>>())
                .filter(|unnamed| unnamed.len() == 1)
                .map(|unnamed| unnamed[0]),
        };
        let Some(chosen) = chosen else {
            return Ok(None);
        };
        let found = match index::is_manifest(chosen.media_type()) {
            true => self.image(chosen)?,
            false => self.resolve(chosen, depth + 1)?,
        };
        Ok(found.map(|mut candidate| {
            candidate.origin = Some(descriptor.digest().clone());
            candidate
        }))
    }

    fn image(&self, descriptor: &Descriptor) -> Result<Option<Candidate>> {
        let bytes = self.content.blob_document(descriptor, self.budget)?;
        let what = format!("manifest {}", descriptor.digest());
        let manifest: ImageManifest = parse(&what, &bytes, self.budget)?;
        if let Some(media_type) = manifest.media_type() {
            // One blob must not be an index here and a manifest there.
            if media_type != descriptor.media_type() {
                return Err(bad(format!("{what} calls itself {:?}", media_type.as_ref())));
            }
        }
        let config = manifest.config();
        if !matches!(
            config.media_type().as_ref(),
            "application/vnd.oci.image.config.v1+json"
                | "application/vnd.docker.container.image.v1+json"
        ) {
            log::info!("image: {what} is {:?}, no container image", config.media_type().as_ref());
            return Ok(None);
        }
        let config_bytes = self.content.blob_document(config, self.budget)?;
        let mut plain = Descriptor::new(
            descriptor.media_type().clone(),
            descriptor.size(),
            descriptor.digest().clone(),
        );
        plain.set_platform(descriptor.platform().clone());
        let config = (config.digest().clone(), config_bytes);
        Candidate::new((plain, bytes), config, manifest.layers().clone(), self.budget).map(Some)
    }

    fn nothing(&self, names: &[String]) -> Error {
        let kind =
            if self.others.is_empty() { ErrorKind::NotFound } else { ErrorKind::Unsupported };
        if let Some(reference) =
            self.selection.reference.as_ref().filter(|_| self.others.is_empty())
        {
            let error = format!("the image archive has no {reference:?}");
            return Error::new(Stage::Image, kind, error).with_hint(format!("it has {names:?}"));
        }
        let platform = show(&self.selection.platform);
        let error = Error::new(
            Stage::Image,
            kind,
            format!("the image archive has no image for {platform}"),
        );
        if self.others.is_empty() {
            error
        } else {
            error.with_hint(format!("it has {}", self.others.join(", ")))
        }
    }
}

fn is_known(descriptor: &Descriptor) -> bool {
    index::is_manifest(descriptor.media_type()) || index::is_index(descriptor.media_type())
}
