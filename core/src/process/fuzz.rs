//! What the fuzz target `passwd` calls.

use super::passwd::{groups, users};
use super::who;

/// Reads `file` as passwd and as group; how many entries each found, none of
/// which has the id that means "no change" or a name with a NUL.
///
/// # Panics
/// If one has.
#[must_use]
pub fn accounts(file: &[u8]) -> (usize, usize) {
    let lines = file.split(|byte| *byte == b'\n').count();
    let (mut count, mut of_groups) = (0, 0);
    for user in users(file) {
        count += 1;
        assert!(user.uid != u32::MAX && user.gid != u32::MAX);
        assert!(!user.name.is_empty() && !user.name.contains(&0) && !user.name.contains(&b':'));
        assert!(!user.home.contains(&0) && !user.home.contains(&b'\n'));
    }
    for group in groups(file) {
        of_groups += 1;
        assert!(group.gid != u32::MAX && !group.name.contains(&0));
        let _ = group.has_member(b"root");
    }
    assert!(count <= lines && of_groups <= lines);
    (count, of_groups)
}

/// Takes apart what a user may be given as.
#[must_use]
pub fn user(text: &str) -> bool {
    who::parse(text).is_ok()
}
