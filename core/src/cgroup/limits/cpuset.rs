//! Lists of processors, `0-3,7`, and whether they are available here.
//!
//! Host side. cgroup v2 accepts processors that the group may not use and then
//! lets it use all of its parent's; v1 answers EACCES. So the list is checked
//! before anything is made. Format: cpuset(7), without strides.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cgroup::file;
use crate::error::{Error, ErrorKind, Result, Stage};

/// More processors than any kernel can be built for.
const MOST: u32 = 65_536;

/// The numbers of a list, or None where it is malformed or empty.
pub(in crate::cgroup) fn parse(list: &str) -> Option<BTreeSet<u32>> {
    let mut cpus = BTreeSet::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Decimal digits alone: `str::parse` would also take a sign.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?.filter(|&number| number < MOST)
}

/// Checks that a group below `parent` can have all processors of `list`.
/// `files` are tried in order; an empty one tells nothing.
pub(in crate::cgroup) fn check(list: &str, parent: &Path, files: &[&str]) -> Result<()> {
    let Some(asked) = parse(list) else {
        return Err(Error::invalid(
            Stage::Cgroup,
            format!("limits.cpuset {list:?} is not a list of processors such as \"0-3,7\""),
        ));
    };
    let available = available(parent, files)?;
    match parse(&available) {
        Some(here) if asked.is_subset(&here) => Ok(()),
        _ => Err(Error::invalid(
            Stage::Cgroup,
            format!(
                "limits.cpuset {list:?} has processors that {parent:?} lacks: it has {available:?}"
            ),
        )),
    }
}

/// The first of the files below `parent` that says something.
pub(in crate::cgroup) fn available(parent: &Path, files: &[&str]) -> Result<String> {
    for name in files {
        if let Some(text) = file::read_if_there(parent, name)? {
            let text = text.trim_end();
            if !text.is_empty() {
                return Ok(text.to_owned());
            }
        }
    }
    Err(Error::new(
        Stage::Cgroup,
        ErrorKind::Unsupported,
        format!(
            "limits.cpuset cannot be enforced: none of {files:?} in {parent:?} says what is available"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::{check, parse};
    use crate::error::ErrorKind;

    #[test]
    fn lists_are_parsed_strictly() {
        let cases: [(&str, Option<&[u32]>); 14] = [
            ("0", Some(&[0])),
            ("0-2,7", Some(&[0, 1, 2, 7])),
            ("7,0-1,1", Some(&[0, 1, 7])),
            ("", None),
            (",", None),
            ("1,", None),
            ("2-1", None),
            ("-1", None),
            ("+1", None),
            ("1-", None),
            ("0-3:1/2", None),
            (" 1", None),
            ("65536", None),
            ("0-4294967295", None),
        ];
        for (list, expected) in cases {
            let expected = expected.map(|cpus| cpus.iter().copied().collect());
            assert_eq!(parse(list), expected, "{list:?}");
        }
    }

    #[test]
    fn unavailable_processors_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "\n").unwrap();
        std::fs::write(dir.path().join("b"), "0-1\n").unwrap();
        check("1", dir.path(), &["none", "a", "b"]).unwrap();

        let error = check("1-2", dir.path(), &["a", "b"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.message(),
            format!(
                "limits.cpuset \"1-2\" has processors that {:?} lacks: it has \"0-1\"",
                dir.path()
            )
        );
        let error = check("x", dir.path(), &["b"]).unwrap_err();
        assert_eq!(
            error.message(),
            r#"limits.cpuset "x" is not a list of processors such as "0-3,7""#
        );
        assert_eq!(check("0", dir.path(), &["a"]).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
