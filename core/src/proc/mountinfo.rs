//! The mount table (proc_pid_mountinfo(5)).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Result, Stage};

/// One mount; paths are as they stand there, with escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'t> {
    /// `major:minor`.
    pub(crate) device: &'t [u8],
    /// The directory of the file system that is mounted.
    pub(crate) root: &'t [u8],
    /// Where it is mounted.
    pub(crate) point: &'t [u8],
    /// Type of the file system.
    pub(crate) kind: &'t [u8],
    /// Options of the file system.
    pub(crate) options: &'t [u8],
}

impl Entry<'_> {
    /// Where it is mounted.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        unescape(self.point)
    }

    /// Whether it is mounted below a directory, which is no link.
    pub(crate) fn is_below(&self, directory: &Path) -> bool {
        self.path().is_none_or(|point| point.starts_with(directory) && point != directory)
    }
}

/// Reads the mount table of the calling thread.
///
/// # Errors
/// The given stage, with the call that failed.
pub(crate) fn read(stage: Stage) -> Result<Vec<u8>> {
    super::read("mountinfo", stage)
}

/// The mounts of a table, in mount order; lines that are none are left out.
pub(crate) fn entries(text: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(entry)
}

/// `id parent device root point options [tags…] - kind source super-options`.
fn entry(line: &[u8]) -> Option<Entry<'_>> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
    let mut after = fields.skip_while(|field| *field != b"-").skip(1);
    let (kind, options) = (after.next()?, after.nth(1)?);
    Some(Entry { device, root, point, kind, options })
}

/// Undoes the octal escapes (`\040` for a space) of the kernel's `seq_path`.
pub(crate) fn unescape(field: &[u8]) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        match tail.split_at_checked(3) {
            Some((digits, after)) if first == b'\\' => {
                let digits = std::str::from_utf8(digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 8).ok()?);
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    Some(PathBuf::from(OsStr::from_bytes(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::{Entry, entries, read, unescape};
    use crate::error::Stage;
    use std::path::{Path, PathBuf};

    #[test]
    fn fields_are_found_behind_any_number_of_tags() {
        let text = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            27 22 8:3 /a /with\\040space rw shared:1 master:2 - xfs /dev/sda3 rw,x=1\n\
            no mount\n28 22 8:4 / /cut rw -\n";
        let found: Vec<_> = entries(text).collect();
        let [first, second] = found[..] else { panic!("{found:?}") };
        let expected =
            Entry { device: b"254:0", root: b"/", point: b"/", kind: b"ext4", options: b"rw" };
        assert_eq!(first, expected);
        assert_eq!(
            (second.root, second.kind, second.options),
            (&b"/a"[..], &b"xfs"[..], &b"rw,x=1"[..])
        );
        assert_eq!(second.path(), Some(PathBuf::from("/with space")));
        assert!(second.is_below(Path::new("/")) && !second.is_below(Path::new("/with")));
    }

    #[test]
    fn escapes_are_undone_and_broken_ones_are_no_path() {
        assert_eq!(unescape(b"/a\\134040b\\011"), Some(PathBuf::from("/a\\040b\t")));
        assert_eq!(unescape(b"/a\\04"), Some(PathBuf::from("/a\\04")));
        assert_eq!(unescape(b"/a\\9zz"), None);
    }

    #[test]
    fn own_table_has_its_root() {
        let text = read(Stage::Cgroup).expect("the table");
        assert!(entries(&text).any(|entry| entry.point == b"/"));
    }
}
