//! Content digests: compute them, compare them, name things by them.
//!
//! Stage `image`, host process. Reads sha256 and sha512; everything made here
//! is sha256. The type is `oci_spec`'s [`Digest`], whose parser guarantees the
//! length and lower-case hex digits, so that [`Digest::digest`] is a safe file
//! name.
//!
//! Errors: `image`, invalid input, with the digest wanted and the one found.
//! Sources: image-spec `descriptor.md` (digests, verification), `config.md`
//! (DiffID, ChainID).

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use oci_spec::image::{Digest, DigestAlgorithm};
use sha2::Digest as _;

use crate::error::{Error, ErrorKind, Result, Stage};

/// A running hash.
#[derive(Debug)]
pub(crate) enum Hasher {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// A hash of the algorithm that the images made here use.
    pub(crate) fn sha256() -> Hasher {
        Hasher::Sha256(sha2::Sha256::new())
    }

    /// A hash that can be compared with `digest`.
    pub(crate) fn like(digest: &Digest) -> Result<Hasher> {
        match digest.algorithm() {
            DigestAlgorithm::Sha256 => Ok(Hasher::sha256()),
            DigestAlgorithm::Sha512 => Ok(Hasher::Sha512(sha2::Sha512::new())),
            other => Err(Error::new(
                Stage::Image,
                ErrorKind::Unsupported,
                format!("digest algorithm {:?}", other.as_ref()),
            )
            .with_hint("sha256 and sha512 are read")),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hash) => hash.update(bytes),
            Hasher::Sha512(hash) => hash.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        let (algorithm, hash) = match self {
            Hasher::Sha256(hash) => ("sha256", hash.finalize().to_vec()),
            Hasher::Sha512(hash) => ("sha512", hash.finalize().to_vec()),
        };
        let mut text = format!("{algorithm}:");
        for byte in hash {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        // The text is well formed by construction.
        Digest::try_from(text).unwrap_or_else(|_| unreachable!())
    }
}

/// The sha256 digest of `bytes`.
pub(crate) fn of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::sha256();
    hasher.update(bytes);
    hasher.finish()
}

/// Parses a digest that a document gives as text; `what` names it in errors.
pub(crate) fn parse(what: &str, text: &str) -> Result<Digest> {
    let digest = Digest::try_from(text)
        .map_err(|error| Error::invalid(Stage::Image, format!("{what} {text:?}: {error}")))?;
    Hasher::like(&digest)?;
    Ok(digest)
}

/// Whether `text` could be the hex part of a digest: a safe file name.
pub(crate) fn is_hex(text: &str) -> bool {
    matches!(text.len(), 64 | 128) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// An error unless `found` is `wanted`; `what` names the content.
pub(crate) fn verify(what: &str, wanted: &Digest, found: &Digest) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    Err(Error::invalid(Stage::Image, format!("{what} is {found}, not {wanted} as its name says"))
        .with_hint("the image is damaged or was changed: get it again"))
}

/// The ChainID of each prefix of `diff_ids`: what a stack of layers is called.
pub(crate) fn chain(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(below) => of(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chain
}

/// Passes reads or writes through and hashes what passes.
#[derive(Debug)]
pub(crate) struct Hashing<T> {
    pub(crate) inner: T,
    hasher: Hasher,
    bytes: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T, hasher: Hasher) -> Hashing<T> {
        Hashing { inner, hasher, bytes: 0 }
    }

    /// The digest and the number of bytes that passed.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.bytes)
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.pass(&buffer[..n]);
        Ok(n)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buffer)?;
        self.pass(&buffer[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{Hasher, chain, of, parse, verify};
    use crate::error::ErrorKind;

    #[test]
    fn digest_of_known_bytes_is_the_published_one() {
        assert_eq!(
            of(b"{}").to_string(),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        let wanted = parse("digest", &format!("sha512:{}", "0".repeat(128))).unwrap();
        let mut hasher = Hasher::like(&wanted).unwrap();
        hasher.update(b"abc");
        assert!(hasher.finish().digest().starts_with("ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn chain_id_of_one_layer_is_its_diff_id() {
        let (a, b) = (of(b"a"), of(b"b"));
        let chain = chain(&[a.clone(), b.clone()]);
        assert_eq!(chain, [a.clone(), of(format!("{a} {b}").as_bytes())]);
    }

    #[test]
    fn digests_that_could_be_paths_are_refused() {
        for text in ["sha256:../../etc/passwd", "sha256:AB", "sha256:", "", "md5:00", "sha256:é"] {
            assert!(parse("digest", text).is_err(), "{text:?}");
        }
        let error = parse("digest", "md5:d41d8cd98f00b204e9800998ecf8427e").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            "image: digest algorithm \"md5\"; sha256 and sha512 are read"
        );
    }

    #[test]
    fn verify_names_both_digests() {
        let error = verify("layer", &of(b"a"), &of(b"b")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&of(b"a").to_string()));
        assert!(error.to_string().contains(&of(b"b").to_string()));
    }
}
