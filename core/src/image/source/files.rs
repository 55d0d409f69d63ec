//! The files of an archive, taken out in one pass.
//!
//! Stage `image`, host process. Standard input cannot be read twice and the
//! order of an archive's files says nothing, so each regular file is copied to
//! the stage under a number, and hashed on the way; its name is only a key in
//! a map. So no name can reach outside, and links (old `docker save` archives
//! use them for equal layers) are followed in the map, never on disk.
//!
//! Errors: `image`, invalid input.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::atomic::AtomicU64;

use oci_spec::image::{Digest, DigestAlgorithm};

use crate::error::Result;
use crate::image::compression::{CHUNK, Label, decode};
use crate::image::digest::{Hasher, Hashing, verify};
use crate::image::dir::Dir;
use crate::image::limits::{Budget, Step, exceeded};
use crate::image::store::stage::Stage;
use crate::image::tar::{Archive, Entry, Kind};
use crate::image::{bad, unwrap_io};

/// Files of an image archive. Real ones have a few for each layer.
const FILES: usize = 20_000;
/// Links to follow from one name.
const LINKS: usize = 8;

/// An archive's regular files by name.
#[derive(Debug)]
pub(crate) struct Files {
    dir: Dir,
    entries: HashMap<Vec<u8>, Node>,
}

#[derive(Debug)]
enum Node {
    File { file: String, size: u64, digest: Digest },
    Link(Vec<u8>),
}

/// How a blob of an archive came into the stage.
pub(crate) enum Adopted {
    Linked,
    /// Its digest is of another algorithm than the one computed.
    Unverified(File),
    Missing,
}

/// Reads a whole archive into the stage.
pub(crate) fn take(
    reader: Box<dyn Read + Send>,
    name: &str,
    size: Option<u64>,
    stage: &Stage,
    budget: &Budget<'_>,
) -> Result<Files> {
    let dir = stage.dir().dir("files")?;
    let input = AtomicU64::new(0);
    let label = Label { step: Step::Copy, item: name, total: size };
    let (_, reader) = decode(reader, label, budget, &input)?;
    let reader = std::io::BufReader::with_capacity(CHUNK, reader);
    let mut archive = Archive::new(reader, &budget.limits);
    let (mut entries, mut number) = (HashMap::new(), 0);
    let mut buffer = vec![0; CHUNK];
    while let Some(entry) = archive.next()? {
        budget.check()?;
        if entry.path.len().max(entry.link.len()) > budget.limits.path {
            return Err(exceeded("a path that is too long", budget.limits.path));
        }
        budget.keep(&[entry.path.len(), entry.link.len()])?;
        let node = match entry.kind {
            Kind::File => {
                number += 1;
                stage_file(&entry, &mut archive, &dir, number, &mut buffer, budget)?
            }
            Kind::Symlink => Node::Link(resolve(&entry.path, &entry.link)),
            Kind::Hardlink => Node::Link(resolve(b"", &entry.link)),
            // Directories say nothing; devices have no place in an image.
            _ => continue,
        };
        entries.insert(resolve(b"", &entry.path), node);
        if entries.len() > FILES || number > FILES {
            return Err(exceeded("too many files in its archive", FILES));
        }
    }
    archive.finish()?;
    Ok(Files { dir, entries })
}

fn stage_file(
    entry: &Entry,
    data: &mut dyn Read,
    dir: &Dir,
    number: usize,
    buffer: &mut [u8],
    budget: &Budget<'_>,
) -> Result<Node> {
    if entry.sparse.is_some() {
        return Err(bad("a sparse file in an image archive"));
    }
    budget.stage(entry.size)?;
    // A name may come twice: the later one counts, the earlier file stays
    // unnamed until the stage is removed.
    let name = number.to_string();
    let mut file = Hashing::new(dir.create(&name)?, Hasher::sha256());
    loop {
        let n = data.read(buffer).map_err(|error| unwrap_io("read", error))?;
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).map_err(|error| {
            unwrap_io(&format!("write({:?})", dir.name(name.as_bytes())), error)
        })?;
    }
    let (digest, size) = file.finish();
    Ok(Node::File { file: name, size, digest })
}

/// A name as a key: without empty and `.` components, `..` taken back within
/// the archive.
fn resolve(from: &[u8], name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let base = from.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |slash| &from[..slash]);
    let base = if name.starts_with(b"/") { &[][..] } else { base };
    for part in base.split(|byte| *byte == b'/').chain(name.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

impl Files {
    fn find(&self, name: &str) -> Option<(&str, u64, &Digest)> {
        let mut key = resolve(b"", name.as_bytes());
        for _ in 0..LINKS {
            match self.entries.get(&key)? {
                Node::File { file, size, digest } => return Some((file, *size, digest)),
                Node::Link(target) => key.clone_from(target),
            }
        }
        None
    }

    /// Size and sha256 digest of a file.
    pub(crate) fn digest(&self, name: &str) -> Option<(u64, &Digest)> {
        self.find(name).map(|(_, size, digest)| (size, digest))
    }

    /// The first bytes of a file.
    pub(crate) fn head(&self, name: &str) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        let found = self.find(name).map_or(Ok(None), |(file, ..)| self.dir.file(file))?;
        if let Some((file, _)) = found {
            file.take(8).read_to_end(&mut head).map_err(|error| unwrap_io("read", error))?;
        }
        Ok(head)
    }

    /// A whole file, if it is not longer than `limit`.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        match self.find(name) {
            Some((_, size, _)) if size > limit => {
                Err(exceeded(&format!("a document that is too long: {name:?}"), limit))
            }
            Some((file, ..)) => self.dir.read(file, limit),
            None => Ok(None),
        }
    }

    /// Puts the blob `digest` under `name` in `to`.
    pub(crate) fn adopt(
        &self,
        digest: &Digest,
        size: u64,
        to: &Dir,
        name: &str,
    ) -> Result<Adopted> {
        // Docker archives name layers freely; by digest they are found too.
        let path = crate::image::store::index::blob_path(digest);
        let by_name = self.find(&path);
        let found = by_name.or_else(|| {
            self.entries.values().find_map(|node| match node {
                Node::File { file, size, digest: found } if found == digest => {
                    Some((file.as_str(), *size, found))
                }
                _ => None,
            })
        });
        let Some((file, found_size, found)) = found else {
            return Ok(Adopted::Missing);
        };
        super::check_size(digest, size, found_size)?;
        if *digest.algorithm() != DigestAlgorithm::Sha256 {
            let opened = self.dir.file(file)?;
            return Ok(opened.map_or(Adopted::Missing, |(file, _)| Adopted::Unverified(file)));
        }
        verify("a blob", digest, found)?;
        crate::image::store::stage::link(&self.dir, file, to, name)?;
        Ok(Adopted::Linked)
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn names_are_keys_and_stay_inside() {
        for (from, name, wanted) in [
            ("", "./a//b", "a/b"),
            ("", "../../etc/passwd", "etc/passwd"),
            ("", "/abs", "abs"),
            ("x/layer.tar", "../y/layer.tar", "y/layer.tar"),
            ("x/layer.tar", "../../../../y", "y"),
            ("x/layer.tar", "/y", "y"),
        ] {
            let found = resolve(from.as_bytes(), name.as_bytes());
            assert_eq!(String::from_utf8(found).unwrap(), wanted);
        }
    }
}
