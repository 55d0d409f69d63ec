//! Who the caller is and which ids it can map: root needs nothing, an ordinary
//! user subordinate ids and the programs that map them (subuid(5),
//! newuidmap(1)).

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libctr_helper::ability::{Ability, Verdict};
use nix::unistd::{User, getegid, geteuid};

use super::attempts::Attempts;
use super::machine::Machine;
use super::places::detail;
use super::{Finding, State, settings};
use crate::error::Result;
use crate::spec::{IdMap, UserNamespace};
use crate::sys;
use crate::userns::{Users, subordinate};

/// What is missing without subordinate ids.
const ONE_ID: &str = "a container has one user and one group: all files of images belong to them";

const NO_CONTAINER: &str = "no container can be started, but with degraded: allow";

/// The caller.
#[derive(Debug)]
pub(super) struct Identity {
    /// The user namespace that a run gets; `None`: the host's.
    users: Result<Option<Users>>,
}

impl Identity {
    pub(super) fn look() -> Identity {
        Identity { users: Users::of_files() }
    }

    pub(super) fn uid(&self) -> u32 {
        geteuid().as_raw()
    }

    pub(super) fn gid(&self) -> u32 {
        getegid().as_raw()
    }

    /// The user namespace of a run, if it has one of its own.
    pub(super) fn users(&self) -> Option<&Users> {
        self.users.as_ref().ok()?.as_ref()
    }

    /// A user namespace with as many ids as there can be.
    pub(super) fn widest(&self) -> Option<Users> {
        match &self.users {
            Ok(Some(users)) => Some(users.clone()),
            Ok(None) => {
                let maps = vec![IdMap { container: 0, host: 100_000, size: 65_536 }];
                let wanted = UserNamespace::Map { uid_maps: maps.clone(), gid_maps: maps };
                Users::choose(&wanted, 0, 0).ok()?
            }
            Err(_) => None,
        }
    }

    fn is_single(&self) -> bool {
        self.users().is_some_and(Users::is_single)
    }

    /// What is said of subordinate ids and those who map them.
    pub(super) fn findings(&self, machine: &Machine, attempts: &Attempts) -> Vec<Finding> {
        let mapped = match &self.users {
            Err(error) => Finding::missing("namespace.user.mapped", detail(error), ONE_ID),
            Ok(_) => self.mapped(machine, attempts),
        };
        vec![mapped, self.subordinate(), self.tools(), apparmor(attempts)]
    }

    fn mapped(&self, machine: &Machine, attempts: &Attempts) -> Finding {
        let name = "namespace.user.mapped";
        if self.is_single() {
            let detail = "there are no subordinate ids that could be mapped";
            return Finding::degraded(name, detail, ONE_ID).with_fix(self.fix());
        }
        let verdict = attempts.verdict(Ability::UserMapped);
        let blocks = self.users().is_some();
        let mut finding = super::explain::finding(name, Ability::UserMapped, verdict, machine);
        if matches!(verdict, Some(Verdict::Works(_))) {
            let number = self.widest().map_or(0, |users| users.count());
            finding.detail = format!("{number} user ids can be mapped");
        } else if blocks {
            finding.state = State::Missing;
            finding.consequence = Some(NO_CONTAINER.to_owned());
            finding.fix = self.fix().or(finding.fix);
        }
        finding
    }

    /// The first thing that is missing for a map.
    fn fix(&self) -> Option<String> {
        [self.tools(), self.subordinate()].into_iter().find_map(|finding| finding.fix)
    }

    fn subordinate(&self) -> Finding {
        let name = "subuid";
        if self.maps_directly() {
            return Finding::ok(name, "not needed: the caller maps ids itself");
        }
        let user = User::from_uid(geteuid()).ok().flatten();
        let who = user.map_or_else(|| geteuid().to_string(), |user| user.name);
        let mut counts = Vec::new();
        for path in ["/etc/subuid", "/etc/subgid"] {
            match subordinate::ranges(path) {
                Err(error) => return Finding::degraded(name, detail(&error), ONE_ID),
                Ok(ranges) if ranges.is_empty() => {
                    let fix = format!("as root: usermod {} {who}", free_ranges());
                    let detail = format!("{path} has no range for {who}");
                    return Finding::degraded(name, detail, ONE_ID).with_fix(Some(fix));
                }
                Ok(ranges) => counts.push(ranges.iter().map(|range| u64::from(range.1)).sum()),
            }
        }
        let [uids, gids]: [u64; 2] = counts.try_into().unwrap_or_default();
        Finding::ok(name, format!("{who} has {uids} subordinate user ids and {gids} group ids"))
    }

    fn tools(&self) -> Finding {
        let name = "newuidmap";
        if self.maps_directly() {
            return Finding::ok(name, "not needed: the caller maps ids itself");
        }
        let Some(tools) = subordinate::tools() else {
            return Finding::degraded(name, "newuidmap and newgidmap are not installed", ONE_ID)
                .with_fix(Some(install().to_owned()));
        };
        match tools.iter().find(|tool| !may_map(tool)) {
            None => Finding::ok(name, format!("{} may map ids", tools[0].display())),
            Some(tool) => {
                let detail =
                    format!("{tool:?} is neither setuid root nor has it capabilities to map ids");
                let consequence = "no container can be started: newuidmap is there and refused";
                let fix =
                    format!("as root: chmod u+s {} {}", tools[0].display(), tools[1].display());
                Finding::missing(name, detail, consequence).with_fix(Some(fix))
            }
        }
    }

    /// Whether the caller writes maps without the programs.
    fn maps_directly(&self) -> bool {
        let users = self.users.as_ref().ok();
        users.is_some_and(|users| users.as_ref().is_none_or(Users::is_written_by_root))
    }
}

/// Whether a program can map ids for others: setuid, or with capabilities.
fn may_map(tool: &Path) -> bool {
    const SETUID: u32 = 0o4000;
    let found = fs::metadata(tool);
    let setuid =
        found.is_ok_and(|found| found.mode() & SETUID != 0 && found.uid() == 0 && found.len() > 0);
    let path = CString::new(tool.as_os_str().as_bytes()).unwrap_or_default();
    setuid || sys::lgetxattr(&path, c"security.capability", &mut []).is_ok()
}

/// Options of usermod(8) for ranges that nobody has yet.
fn free_ranges() -> String {
    let first = |path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        after_all(&text)
    };
    let range = |first: u32| format!("{first}-{}", first.saturating_add(65_535));
    let (uids, gids) = (range(first("/etc/subuid")), range(first("/etc/subgid")));
    format!("--add-subuids {uids} --add-subgids {gids}")
}

/// The first id after all ranges of a file.
fn after_all(text: &str) -> u32 {
    let end = |line: &str| {
        let mut fields = line.split(':').skip(1).map(|field| field.trim().parse::<u32>().ok());
        fields.next()??.checked_add(fields.next()??)
    };
    text.lines().filter_map(end).max().unwrap_or(0).max(100_000)
}

/// How newuidmap is installed here (os-release(5)).
fn install() -> &'static str {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let words = text
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split(' '));
    let command = |word: &str| match word {
        "debian" | "ubuntu" => Some("as root: apt-get install -y uidmap"),
        "fedora" | "rhel" | "centos" => Some("as root: dnf install -y shadow-utils"),
        "alpine" => Some("as root: apk add shadow-subids"),
        "arch" => Some("as root: pacman -S --noconfirm shadow"),
        "suse" | "opensuse" => Some("as root: zypper install -y shadow"),
        _ => None,
    };
    words.into_iter().find_map(command).unwrap_or("as root: install the package with newuidmap(1)")
}

fn apparmor(attempts: &Attempts) -> Finding {
    let name = "apparmor.userns";
    match settings::apparmor() {
        None => Finding::ok(name, "AppArmor does not restrict user namespaces"),
        Some((says, _)) if attempts.works(Ability::User) => {
            Finding::ok(name, format!("{says}, but not those of this program"))
        }
        Some((says, fix)) => Finding::missing(name, says, "no user namespace can be used")
            .with_fix(Some(fix.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::after_all;

    #[test]
    fn free_range_begins_after_all_others() {
        assert_eq!(after_all(""), 100_000);
        assert_eq!(after_all("a:100000:65536\nb:165536:65536\nnonsense\nc:x:1\n"), 231_072);
        assert_eq!(after_all("a:1:10\n"), 100_000);
    }
}
