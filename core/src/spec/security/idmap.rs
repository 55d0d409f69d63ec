//! Ranges of user or group ids that a user namespace maps.
//!
//! Stage `spec`, host side; written by the helper. Source:
//! user_namespaces(7), "User and group ID mappings".

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::spec::validate::refuse;

/// The kernel's bound for the lines of a map.
const MAX_RANGES: usize = 340;

/// Its bound for their text, a page with an end (map_write of
/// kernel/user_namespace.c).
const MAX_TEXT: usize = 4095;

/// One range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdMap {
    /// First id inside, 0 to 4294967294.
    pub container: u32,
    /// First id on the host, 0 to 4294967294.
    pub host: u32,
    /// How many ids, at least 1.
    pub size: u32,
}

impl IdMap {
    pub(super) fn validate(at: &str, maps: &[IdMap]) -> Result<()> {
        if maps.is_empty() || maps.len() > MAX_RANGES {
            return Err(refuse(
                at,
                format!("expected 1 to {MAX_RANGES} ranges, found {}", maps.len()),
            ));
        }
        let line = |map: &IdMap| format!("{} {} {}\n", map.container, map.host, map.size).len();
        let text: usize = maps.iter().map(line).sum();
        if text > MAX_TEXT {
            let text = format!("the ranges make {text} bytes, the kernel takes {MAX_TEXT}");
            return Err(refuse(at, text));
        }
        for (index, map) in maps.iter().enumerate() {
            if map.size == 0 {
                return Err(refuse(format!("{at}[{index}].size"), "expected at least 1, found 0"));
            }
            for (key, first) in [("container", map.container), ("host", map.host)] {
                // The last id of all, 4294967295, means "no id" to the kernel.
                if first.checked_add(map.size).is_none() {
                    return Err(refuse(
                        format!("{at}[{index}]"),
                        format!("the {key} range ends after 4294967294"),
                    ));
                }
            }
            for before in &maps[..index] {
                if overlap(before.container, before.size, map.container, map.size)
                    || overlap(before.host, before.size, map.host, map.size)
                {
                    return Err(refuse(
                        format!("{at}[{index}]"),
                        "the range overlaps an earlier one",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Both ranges have been checked to end below `u32::MAX`.
fn overlap(a: u32, a_size: u32, b: u32, b_size: u32) -> bool {
    a < b + b_size && b < a + a_size
}

#[cfg(test)]
mod tests {
    use super::IdMap;

    fn check(maps: &[(u32, u32, u32)]) -> Result<(), String> {
        let maps: Vec<_> =
            maps.iter().map(|&(container, host, size)| IdMap { container, host, size }).collect();
        IdMap::validate("maps", &maps).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn ranges_stay_in_bounds_and_apart() {
        assert_eq!(check(&[(0, 1000, 1), (1, 100_000, 65_536)]), Ok(()));
        assert_eq!(check(&[(0, 0, u32::MAX)]), Ok(()));
        for (maps, message) in [
            (&[][..], "maps: expected 1 to 340 ranges, found 0"),
            (&[(0, 0, 0)][..], "maps[0].size: expected at least 1, found 0"),
            (&[(1, 0, u32::MAX)][..], "maps[0]: the container range ends after 4294967294"),
            (&[(0, 2, u32::MAX - 1)][..], "maps[0]: the host range ends after 4294967294"),
            (&[(0, 0, 10), (9, 20, 1)][..], "maps[1]: the range overlaps an earlier one"),
            (&[(0, 0, 10), (10, 5, 1)][..], "maps[1]: the range overlaps an earlier one"),
        ] {
            assert_eq!(check(maps), Err(message.to_owned()));
        }
        let many: Vec<_> = (0..341).map(|id| (id, id, 1)).collect();
        assert!(check(&many).is_err());
        assert_eq!(check(&many[..340]), Ok(()));
        let long: Vec<_> = (0..310).map(|id| (id, 1_000_000 + id, 1)).collect();
        let message = "maps: the ranges make 4230 bytes, the kernel takes 4095";
        assert_eq!(check(&long), Err(message.to_owned()));
    }
}
