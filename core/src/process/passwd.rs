//! The lines of `/etc/passwd` and `/etc/group`.
//!
//! Stage `user`, host side, pure. The files come from an image: a line that
//! is not as passwd(5) and group(5) describe is passed over, as every libc
//! does, and never read as id 0. Comments and blank lines are allowed.

use std::str;

/// A line of `/etc/passwd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User<'a> {
    pub(super) name: &'a [u8],
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// May be empty.
    pub(super) home: &'a [u8],
}

/// A line of `/etc/group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group<'a> {
    pub(super) name: &'a [u8],
    pub(super) gid: u32,
    members: &'a [u8],
}

impl Group<'_> {
    pub(super) fn has_member(&self, name: &[u8]) -> bool {
        self.members.split(|byte| *byte == b',').any(|member| member == name)
    }
}

pub(super) fn users(file: &[u8]) -> impl Iterator<Item = User<'_>> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (id(fields.next()?)?, id(fields.next()?)?);
        let (_comment, home) = (fields.next(), fields.next().unwrap_or_default());
        Some(User { name, uid, gid, home })
    })
}

pub(super) fn groups(file: &[u8]) -> impl Iterator<Item = Group<'_>> {
    lines(file).filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (gid, members) = (id(fields.next()?)?, fields.next().unwrap_or_default());
        Some(Group { name, gid, members })
    })
}

/// Lines that may hold an entry. One with a NUL byte cannot: no name, path or
/// variable of the kernel has one.
fn lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| {
        !line.is_empty() && !line.starts_with(b"#") && !line.starts_with(b":") && !line.contains(&0)
    })
}

/// A user or group id: decimal digits only, 0 to 4294967294. The last number
/// of 32 bits means "no change" to the kernel.
pub(super) fn id(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let id = str::from_utf8(text).ok()?.parse().ok()?;
    (digits && id != u32::MAX).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::{groups, id, users};

    #[test]
    fn bad_lines_are_passed_over() {
        let file = b"\n# root:x:9:9\nroot:x:0:0:root:/root:/bin/sh\r\n  app:x:1000:100::/home/app\n\
            short\nnouid:x::0:::\nminus:x:-1:0:::\nhex:x:0x1:0:::\nplus:x:+1:0:::\nmax:x:4294967295:0:::\n\
            :x:5:5:::\nnul\0:x:6:6:::\n+::::::\nbare:x:7:7\nlast:x:8:8:\xff:/\xff";
        let found: Vec<_> =
            users(file).map(|user| (user.name, user.uid, user.gid, user.home)).collect();
        assert_eq!(
            found,
            [
                (&b"root"[..], 0, 0, &b"/root"[..]),
                (b"app", 1000, 100, b"/home/app"),
                (b"bare", 7, 7, b""),
                (b"last", 8, 8, b"/\xff"),
            ]
        );
    }

    #[test]
    fn members_match_whole_names() {
        let file = b"wheel:x:10:root,app\nempty:x:11:\nnone:x:12\nbad:x:y:app\n";
        let found: Vec<_> = groups(file)
            .map(|group| (group.gid, group.has_member(b"app"), group.has_member(b"ap")))
            .collect();
        assert_eq!(found, [(10, true, false), (11, false, false), (12, false, false)]);
    }

    #[test]
    fn ids_are_plain_numbers() {
        assert_eq!(
            (id(b"0"), id(b"007"), id(b"4294967294")),
            (Some(0), Some(7), Some(u32::MAX - 1))
        );
        for text in ["", "+1", "-1", "0x1", " 1", "1 ", "1e3", "4294967295", "4294967296", "٣"] {
            assert_eq!(id(text.as_bytes()), None, "{text}");
        }
    }
}
