//! Who the program runs as.
//!
//! Stage `user`, host side. `name|uid[:group|gid]` → numbers, by the
//! container's own `/etc/passwd` and `/etc/group`; the host's files and name
//! services are never asked. The rules are Docker's: a number is never taken
//! as a name; a number without an entry is used as it is, with group 0; the
//! groups that name the user as a member count unless a group is given; the
//! own group is always among the supplementary ones (CVE-2022-36109). Forms
//! that Docker reads leniently (`1:`, `:2`, `+1`) are refused.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::merged::{self, Found};
use super::passwd::{groups, users};
use super::who::{Who, parse, who};
use crate::{Error, ErrorKind, Result, Stage};

const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";
/// The kernel's bound (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// Numbers of a user, and where it is at home.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups, `gid` first, each once.
    pub(super) groups: Vec<u32>,
    /// `/` where it is not known.
    pub(super) home: PathBuf,
}

/// Resolves `user` (empty: root) and the further groups `more`.
pub(super) fn resolve(user: &str, more: &[String], lowers: &[PathBuf]) -> Result<User> {
    let (user, group) = parse(user)?;
    let more = more.iter().map(|name| who(name, name)).collect::<Result<Vec<_>>>()?;

    let passwd = merged::read(lowers, PASSWD)?;
    let entry = passwd.as_ref().and_then(|file| {
        users(&file.bytes).find(|entry| match user {
            Who::Id(uid) => entry.uid == uid,
            Who::Name(name) => entry.name == name.as_bytes(),
        })
    });
    let uid = match (user, &entry) {
        (_, Some(entry)) => entry.uid,
        (Who::Id(uid), None) => uid,
        (Who::Name(name), None) => {
            return Err(unknown("user", name, PASSWD, passwd.as_ref(), lowers));
        }
    };
    let home =
        entry.as_ref().map(|entry| entry.home).filter(|home| !home.is_empty()).unwrap_or(b"/");

    let named = |who: &Who<'_>| matches!(who, Who::Name(_));
    let by_member = group.is_none() && entry.is_some();
    let file = if by_member || group.as_ref().is_some_and(named) || more.iter().any(named) {
        merged::read(lowers, GROUP)?
    } else {
        None
    };
    let mut by_name = HashMap::new();
    for group in file.iter().flat_map(|file| groups(&file.bytes)) {
        by_name.entry(group.name).or_insert(group.gid);
    }
    let gid_of = |who| match who {
        Who::Id(gid) => Ok(gid),
        Who::Name(name) => by_name
            .get(name.as_bytes())
            .copied()
            .ok_or_else(|| unknown("group", name, GROUP, file.as_ref(), lowers)),
    };
    let gid = match group {
        Some(group) => gid_of(group)?,
        None => entry.map_or(0, |entry| entry.gid),
    };

    let mut all = vec![gid];
    if let (true, Some(entry), Some(file)) = (by_member, &entry, &file) {
        all.extend(
            groups(&file.bytes).filter(|group| group.has_member(entry.name)).map(|group| group.gid),
        );
    }
    for group in more {
        all.push(gid_of(group)?);
    }
    let mut seen = HashSet::new();
    all.retain(|gid| seen.insert(*gid));
    if all.len() > MAX_GROUPS {
        return Err(Error::invalid(
            Stage::User,
            format!("uid {uid} has {} groups, the kernel takes {MAX_GROUPS}", all.len()),
        ));
    }
    let home = PathBuf::from(OsString::from_vec(home.to_vec()));
    Ok(User { uid, gid, groups: all, home })
}

fn unknown(what: &str, name: &str, path: &str, file: Option<&Found>, lowers: &[PathBuf]) -> Error {
    let message = match (file, lowers) {
        (Some(found), _) => format!("no {what} {name:?} in {path:?} of {:?}", found.layer),
        (None, [only]) => format!("no {what} {name:?}: {only:?} has no {path:?}"),
        (None, _) => format!("no {what} {name:?}: none of {} layers has {path:?}", lowers.len()),
    };
    Error::new(Stage::User, ErrorKind::NotFound, message)
        .with_hint("names are looked up in the container's files; a number needs no entry")
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};
    use std::path::PathBuf;

    use super::{User, resolve};
    use crate::{ErrorKind, Result, Stage};

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:100:App:/home/app:/bin/sh\n\
        1337:x:5:5::/x:\nnohome:x:6:6:::\ntwin:x:1000:7::/twin:\n";
    const GROUPS: &str =
        "root:x:0:root\nusers:x:100:\nwheel:x:10:root,app\nvideo:x:27:app\ndup:x:27:app\n";

    type Expected = (u32, u32, &'static [u32], &'static str);

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        create_dir(root.path().join("etc")).unwrap();
        write(root.path().join("etc/passwd"), USERS).unwrap();
        write(root.path().join("etc/group"), GROUPS).unwrap();
        root
    }

    fn find(user: &str, more: &[&str]) -> Result<User> {
        let root = root();
        let more: Vec<_> = more.iter().map(|name| (*name).to_owned()).collect();
        resolve(user, &more, &[root.path().to_owned()])
    }

    #[test]
    fn names_and_ids_follow_docker() {
        let cases: [(&str, &[&str], Expected); 13] = [
            ("", &[], (0, 0, &[0, 10], "/root")),
            ("root", &[], (0, 0, &[0, 10], "/root")),
            ("0", &[], (0, 0, &[0, 10], "/root")),
            ("app", &[], (1000, 100, &[100, 10, 27], "/home/app")),
            ("1000", &[], (1000, 100, &[100, 10, 27], "/home/app")),
            ("app:wheel", &[], (1000, 10, &[10], "/home/app")),
            ("app:5", &[], (1000, 5, &[5], "/home/app")),
            ("1:2", &[], (1, 2, &[2], "/")),
            ("4242", &[], (4242, 0, &[0], "/")),
            ("1337", &[], (1337, 0, &[0], "/")),
            ("nohome", &[], (6, 6, &[6], "/")),
            ("4294967294:4294967294", &[], (4_294_967_294, 4_294_967_294, &[4_294_967_294], "/")),
            ("app", &["video", "33", "100"], (1000, 100, &[100, 10, 27, 33], "/home/app")),
        ];
        for (user, more, (uid, gid, groups, home)) in cases {
            let expected = User { uid, gid, groups: groups.to_vec(), home: PathBuf::from(home) };
            assert_eq!(find(user, more).unwrap(), expected, "{user}");
        }
    }

    #[test]
    fn a_name_that_looks_like_a_number_is_looked_up_as_a_name() {
        for user in ["+1", "-1", "0x1", "1e3", "App", "1:+1", "1:-0"] {
            let error = find(user, &[]).unwrap_err();
            assert_eq!(
                (error.kind(), error.stage()),
                (ErrorKind::NotFound, Stage::User),
                "{user:?}"
            );
        }
        for (user, more) in [("1:", "5"), ("app", ""), ("app", "4294967295"), ("app", "a:b")] {
            let error = find(user, &[more]).unwrap_err();
            assert_eq!(
                (error.kind(), error.stage()),
                (ErrorKind::InvalidInput, Stage::User),
                "{user:?} {more:?}"
            );
        }
    }

    #[test]
    fn unknown_name_says_where_it_was_looked_for() {
        let root = root();
        let lowers = [root.path().to_owned()];
        let text = resolve("nobody", &[], &lowers).unwrap_err().to_string();
        let expected = format!("user: no user \"nobody\" in \"etc/passwd\" of {:?}; ", root.path());
        assert!(text.starts_with(&expected), "{text}");
        let text = resolve("1:nogroup", &[], &lowers).unwrap_err().to_string();
        assert!(text.starts_with("user: no group \"nogroup\" in \"etc/group\" of"), "{text}");

        let empty = tempfile::tempdir().unwrap();
        let lowers = [empty.path().to_owned(), empty.path().to_owned()];
        let error = resolve("app", &[], &lowers).unwrap_err();
        assert_eq!(error.message(), "no user \"app\": none of 2 layers has \"etc/passwd\"");
        assert_eq!(
            resolve("", &[], &lowers).unwrap(),
            User { uid: 0, gid: 0, groups: vec![0], home: "/".into() }
        );
    }

    #[test]
    fn too_many_groups_are_refused() {
        let root = root();
        let lines: String = (0..=65_536).map(|gid| format!("g::{gid}:app\n")).collect();
        write(root.path().join("etc/group"), lines).unwrap();
        let error = resolve("app", &[], &[root.path().to_owned()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(resolve("app:1", &[], &[root.path().to_owned()]).unwrap().groups, [1]);
        let message = error.message().to_owned();
        assert_eq!(message, "uid 1000 has 65537 groups, the kernel takes 65536");
    }
}
