//! Subordinate ids of the calling user: which there are, and the programs
//! that map them (subuid(5), newuidmap(1)).
//!
//! Stage `user`, host side. The file is read to know what to ask for; whether
//! it is granted the programs decide.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use crate::error::{Error, Result, Stage};
use crate::spec::IdMap;

/// Where the programs may be. Never on $PATH, which is not the caller's alone
/// to set.
const PLACES: [&str; 5] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/run/wrappers/bin"];

/// Lines of a map that newuidmap(1) takes are few; more ranges than these are
/// left unused.
const RANGES_MAX: usize = 64;

/// newuidmap and newgidmap, if both are there.
pub(crate) fn tools() -> Option<[PathBuf; 2]> {
    PLACES.iter().find_map(|place| {
        let tools = ["newuidmap", "newgidmap"].map(|name| Path::new(place).join(name));
        tools.iter().all(|tool| tool.is_file()).then_some(tools)
    })
}

/// First id and count of each range of the calling user in `/etc/subuid` or
/// `/etc/subgid`; none where there is no such file.
pub(crate) fn ranges(path: &str) -> Result<Vec<(u32, u32)>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Error::io(Stage::User, format!("read({path:?})"), error))?,
    };
    let uid = geteuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    Ok(parse(&text, &uid.to_string(), name.as_deref()))
}

/// `name|uid:first:count`, one on each line.
fn parse(text: &str, uid: &str, name: Option<&str>) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let ours = owner == uid || Some(owner) == name;
        let fits = u32::checked_add(first, count).is_some();
        (ours && fits && count > 0).then_some((first, count))
    };
    text.lines().filter_map(range).take(RANGES_MAX).collect()
}

/// 0 is the user; what follows are the subordinate ids, in order.
pub(super) fn map(own: u32, ranges: &[(u32, u32)]) -> Vec<IdMap> {
    let mut maps = vec![IdMap { container: 0, host: own, size: 1 }];
    let mut next = 1_u32;
    for &(host, size) in ranges {
        let Some(end) = next.checked_add(size) else { break };
        maps.push(IdMap { container: next, host, size });
        next = end;
    }
    maps
}

#[cfg(test)]
mod tests {
    use super::{map, parse};

    #[test]
    fn ranges_of_name_and_uid_are_found_and_no_others() {
        let text = "root:1:2\nada:100000:65536\n1000:300000:10\n\n# ada:1:1\nada:x:1\nada:5\n\
                    ada:4294967295:2\nada:7:0\nadam:9:9\n";
        assert_eq!(parse(text, "1000", Some("ada")), [(100_000, 65_536), (300_000, 10)]);
        assert_eq!(parse(text, "1001", None), []);
    }

    #[test]
    fn user_is_zero_and_ranges_follow_without_gaps() {
        let maps: Vec<_> = map(1000, &[(100_000, 65_536), (300_000, 10)])
            .iter()
            .map(|map| (map.container, map.host, map.size))
            .collect();
        assert_eq!(maps, [(0, 1000, 1), (1, 100_000, 65_536), (65_537, 300_000, 10)]);
    }
}
