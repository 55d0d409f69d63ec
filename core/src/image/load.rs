//! Loads images from archives and layout directories into the store.
//!
//! Stage `image`, host process. The list: read the source, choose the images,
//! then the `transaction`: copy and verify blobs, unpack
//! layers, name everything. Until the last step nothing in the store changes.
//!
//! Errors: `image`; see [`Store::load`].

use std::fmt;
use std::sync::atomic::AtomicBool;

use super::Reference;
use super::bad;
use crate::error::Result;
use crate::image::limits::{Budget, Limits, OnProgress};
use crate::image::load::transaction::Transaction;
use crate::image::source::oci::{Selection, native, parse_platform};
use crate::image::source::{self, Candidate, Content, Format, Opened, Source, no_image};
use crate::image::store::stage::Stage;
use crate::image::store::{Store, Summary};

mod commit;
pub(crate) mod transaction;
pub(crate) mod tree;
mod work;

/// How to load. Set the fields after [`LoadOptions::default`].
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct LoadOptions<'a> {
    /// The name that the image gets, instead of those in the source.
    pub name: Option<String>,
    /// Which image of the source; `None` means all of it.
    pub reference: Option<String>,
    /// `linux/ARCH[/VARIANT]`; `None` means this machine's.
    pub platform: Option<String>,
    /// Bounds for what the image may cost.
    pub limits: Limits,
    /// Called while it goes on, also from worker threads.
    pub progress: Option<OnProgress<'a>>,
    /// Set to true from another thread, it ends the load with an error of the
    /// kind `Cancelled`.
    pub cancel: Option<&'a AtomicBool>,
}

impl fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("name", &self.name)
            .field("reference", &self.reference)
            .field("platform", &self.platform)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Loads the images of an archive or an OCI layout directory and returns
    /// what was loaded. Digests of all content are computed and compared;
    /// layers that the store has already are shared.
    ///
    /// When the call fails, is cancelled, or the process dies, the store has
    /// the images that it had before.
    ///
    /// # Errors
    /// Invalid input for a damaged or hostile source and for one that reaches
    /// a limit; not found when `reference` is not in it; unsupported when it
    /// has nothing for the platform; cancelled; otherwise the failed call.
    pub fn load(&self, source: Source, options: &LoadOptions<'_>) -> Result<Vec<Summary>> {
        let budget = Budget::new(&options.limits, options.cancel, options.progress);
        let name = options.name.as_deref().map(Reference::parse).transpose()?;
        let stage = Stage::create(&self.dir)?;
        let (format, reference, opened) = source::open(source)?;
        let platform = options.platform.as_deref().map_or_else(|| Ok(native()), parse_platform)?;
        let reference = options.reference.clone().or(reference);
        let selection = Selection { platform, reference };
        let content = read(opened, &stage, &budget)?;
        let mut images = choose(format, &content, &selection, &budget)?;
        if let Some(name) = name {
            rename(&mut images, &name)?;
        }
        Transaction::new(self, stage, &budget).run(&content, images)
    }
}

fn read(opened: Opened, stage: &Stage, budget: &Budget<'_>) -> Result<Content> {
    match opened {
        Opened::Directory(dir) => Ok(Content::Directory(dir)),
        Opened::Stream { reader, name, size } => {
            source::files::take(reader, &name, size, stage, budget).map(Content::Files)
        }
    }
}

fn choose(
    format: Format,
    content: &Content,
    selection: &Selection,
    budget: &Budget<'_>,
) -> Result<Vec<Candidate>> {
    let has = |name: &str| content.document(name, budget).map(|found| found.is_some());
    match format {
        Format::Tar | Format::Directory => {
            Err(no_image("a root file system is imported, not loaded"))
        }
        Format::OciDirectory | Format::OciArchive => source::oci::find(content, selection, budget),
        Format::DockerArchive if !has("oci-layout")? => {
            source::docker::find(content, selection, budget)
        }
        // What docker writes today is both at once; the OCI half has the
        // manifests as they were pulled.
        _ if has("oci-layout")? && has("index.json")? => {
            source::oci::find(content, selection, budget)
        }
        _ if has("manifest.json")? => source::docker::find(content, selection, budget),
        _ => Err(no_image(
            "this is no image archive: it has neither \"index.json\" nor \"manifest.json\"",
        )
        .with_hint("a root file system is imported, not loaded")),
    }
}

fn rename(images: &mut [Candidate], name: &Reference) -> Result<()> {
    if name.digest().is_some() {
        return Err(bad(format!("an image cannot be named {name}: it has a digest")));
    }
    let [image] = images else {
        let count = images.len();
        return Err(
            bad(format!("one name for {count} images")).with_hint("say which one with a reference")
        );
    };
    image.names = vec![name.to_string()];
    Ok(())
}
