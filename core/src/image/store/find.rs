//! Finds an image of the index by what people call it.
//!
//! Stage `image`, host process, pure.
//!
//! Errors: `image`: not found; invalid input for an ambiguous id.

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::Reference;
use crate::image::store::index::Record;

/// Characters of an id that are enough, if they are unique.
const SHORTEST: usize = 4;

/// The one record that `name` means. Names come before ids, as with Docker.
pub(crate) fn one<'r>(records: &'r [Record], name: &str) -> Result<&'r Record> {
    let reference = Reference::parse(name);
    let named = |reference: &Reference| records.iter().find(|record| is_named(record, reference));
    if let Some(found) = reference.as_ref().ok().and_then(named) {
        return Ok(found);
    }
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    let is_hex = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && hex.len() >= SHORTEST {
        let by_digest = records.iter().find(|record| record.manifest.digest().digest() == hex);
        let mut by_id = records.iter().filter(|record| record.config.digest().starts_with(hex));
        if let Some(found) = by_digest.or_else(|| by_id.next()) {
            if let Some(other) = by_id.find(|other| other.config != found.config) {
                let text = format!("{name:?} is the beginning of several image ids");
                let hint = format!("for example {} and {}", found.config, other.config);
                return Err(Error::invalid(Stage::Image, text).with_hint(hint));
            }
            return Ok(found);
        }
    } else {
        // Something that can be no name is wrong rather than absent.
        reference?;
    }
    Err(Error::new(Stage::Image, ErrorKind::NotFound, format!("no image {name:?} in the store"))
        .with_hint("load, import or pull it"))
}

/// Whether a record has this name, or this repository and digest.
pub(crate) fn is_named(record: &Record, reference: &Reference) -> bool {
    let Some(name) = record.name.as_deref() else {
        return false;
    };
    let Some(digest) = reference.digest() else {
        return name == reference.to_string();
    };
    let same = digest == record.manifest.digest() || Some(digest) == record.origin.as_ref();
    let tag = reference.tag().is_none_or(|tag| name.ends_with(&format!(":{tag}")));
    same && tag
        && Reference::parse(name).is_ok_and(|known| known.repository() == reference.repository())
}
