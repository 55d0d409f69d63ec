//! Paths of a layer's entries, cleaned.
//!
//! Stage `image`, host process. A clean path has neither empty components nor
//! `.` or `..`; the layer's root is the empty path. Leading slashes are
//! dropped, as every tar program does. `..` is refused rather than resolved:
//! no image builder writes it, and programs do not agree what it means.
//!
//! Errors: `image`, invalid input.

use crate::error::Result;
use crate::image::bad;
use crate::image::limits::{Limits, exceeded};

/// The longest name of one file: NAME_MAX of every Linux file system.
const NAME: usize = 255;
/// The prefix of whiteout names (image-spec `layer.md`).
pub(super) const WHITEOUT: &[u8] = b".wh.";

/// Cleans the path of an entry or the target of a hard link.
pub(super) fn clean(path: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let shown = || String::from_utf8_lossy(&path[..path.len().min(200)]).into_owned();
    if path.len() > limits.path.min(4095) {
        return Err(exceeded("a path that is too long", limits.path.min(4095)));
    }
    let mut clean = Vec::with_capacity(path.len());
    let mut depth = 0;
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => continue,
            b".." => {
                return Err(bad(format!(
                    "the layer has the path {:?}, with \"..\" in it",
                    shown()
                )));
            }
            _ if name.len() > NAME => {
                return Err(bad(format!(
                    "the layer has a name of more than {NAME} bytes: {:?}",
                    shown()
                )));
            }
            _ => {}
        }
        if !clean.is_empty() {
            clean.push(b'/');
        }
        clean.extend_from_slice(name);
        depth += 1;
    }
    if depth > limits.depth {
        return Err(exceeded("directories that are too deep", limits.depth));
    }
    Ok(clean)
}

/// Splits a clean path in its parent and its last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// The prefixes of a clean path that name its directories, from the top, the
/// path itself included.
pub(super) fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(i, _)| i);
    ends.chain((!path.is_empty()).then_some(path.len())).map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::{clean, prefixes, split};
    use crate::image::limits::Limits;
    use proptest::prelude::{any, proptest};

    #[test]
    fn paths_are_cleaned_or_refused() {
        let limits = Limits { depth: 4, ..Limits::default() };
        for (path, wanted) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("/etc/passwd", Some("etc/passwd")),
            ("", Some("")),
            ("./", Some("")),
            ("...", Some("...")),
            ("a/../b", None),
            ("..", None),
            ("a/b/c/d", Some("a/b/c/d")),
            ("a/b/c/d/e", None),
        ] {
            let found = clean(path.as_bytes(), &limits).ok();
            assert_eq!(found.as_deref(), wanted.map(str::as_bytes), "{path:?}");
        }
        assert!(clean(&[b'a'; 256], &limits).is_err());
        assert!(clean(&vec![b'/'; 5000], &limits).is_err());
    }

    #[test]
    fn split_and_prefixes_take_a_path_apart() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
        assert_eq!(prefixes(b"a/b/c").collect::<Vec<_>>(), [&b"a"[..], b"a/b", b"a/b/c"]);
        assert_eq!(prefixes(b"").count(), 0);
    }

    proptest! {
        #[test]
        fn clean_path_has_only_plain_components(path in any::<Vec<u8>>()) {
            let path = clean(&path, &Limits::default()).unwrap_or_default();
            for name in path.split(|byte| *byte == b'/').filter(|_| !path.is_empty()) {
                assert!(!matches!(name, b"" | b"." | b".."));
            }
        }
    }
}
