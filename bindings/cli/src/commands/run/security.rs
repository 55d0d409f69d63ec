//! Options of `run` about what keeps the program in.

use std::path::Path;

use clap::{Args, ValueEnum};
use libctr::spec::{Degraded, IdMap, Landlock, RunSpec, Seccomp, UserNamespace};
use libctr::{Error, Stage};

use super::wrong;

const OPTION: &str = "--security-opt";

#[derive(Debug, Args)]
#[command(next_help_heading = "Security")]
pub(super) struct Confinement {
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Take a capability away, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// no-new-privileges[=false], seccomp=default, seccomp=unconfined,
    /// seccomp=FILE with a profile of the OCI runtime specification,
    /// landlock=auto|off|required
    #[arg(long = "security-opt", value_name = "OPTION")]
    options: Vec<String>,
    /// User namespace
    #[arg(long, value_enum)]
    userns: Option<UserNs>,
    /// Map N user ids from C of the container to H of the host [default: as --gidmap]
    #[arg(long = "uidmap", value_name = "C:H[:N]", value_parser = id_map, conflicts_with = "userns")]
    uid_maps: Vec<IdMap>,
    /// Map N group ids from C of the container to H of the host [default: as --uidmap]
    #[arg(long = "gidmap", value_name = "C:H[:N]", value_parser = id_map, conflicts_with = "userns")]
    gid_maps: Vec<IdMap>,
    /// Where no namespaces can be made and the image is the host, run it all
    /// the same, behind Landlock, seccomp and limits only
    #[arg(long)]
    degraded: bool,
}

/// The user namespaces that need no maps.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum UserNs {
    /// One of its own where the caller is not root
    Auto,
    /// The host's
    Host,
}

impl Confinement {
    pub(super) fn apply(&self, spec: &mut RunSpec) -> libctr::Result<()> {
        spec.security.capabilities.add.extend(self.cap_add.iter().cloned());
        spec.security.capabilities.drop.extend(self.cap_drop.iter().cloned());
        for option in &self.options {
            apply(option, spec)?;
        }
        if self.degraded {
            spec.degraded = Degraded::Allow;
        }
        match self.userns {
            Some(UserNs::Auto) => spec.security.user_namespace = UserNamespace::Auto,
            Some(UserNs::Host) => spec.security.user_namespace = UserNamespace::Host,
            None => {}
        }
        if let Some(maps) = self.maps() {
            spec.security.user_namespace = maps;
        }
        Ok(())
    }
}

impl Confinement {
    /// As podman has it, maps of one kind stand for the other too.
    fn maps(&self) -> Option<UserNamespace> {
        let [uids, gids] = [&self.uid_maps, &self.gid_maps];
        let or = |maps: &Vec<IdMap>, other: &Vec<IdMap>| {
            if maps.is_empty() { other.clone() } else { maps.clone() }
        };
        let maps = UserNamespace::Map { uid_maps: or(uids, gids), gid_maps: or(gids, uids) };
        (!uids.is_empty() || !gids.is_empty()).then_some(maps)
    }
}

fn id_map(text: &str) -> Result<IdMap, String> {
    let numbers: Option<Vec<u32>> = text.split(':').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[container, host]) => Ok(IdMap { container, host, size: 1 }),
        Some(&[container, host, size]) => Ok(IdMap { container, host, size }),
        _ => Err("expected CONTAINER:HOST or CONTAINER:HOST:COUNT, all of them numbers".into()),
    }
}

fn apply(option: &str, spec: &mut RunSpec) -> libctr::Result<()> {
    let (key, value) = match option.split_once(['=', ':']) {
        Some((key, value)) => (key, Some(value)),
        None => (option, None),
    };
    match (key, value) {
        ("no-new-privileges", None | Some("true")) => spec.security.no_new_privileges = true,
        ("no-new-privileges", Some("false")) => spec.security.no_new_privileges = false,
        ("seccomp", Some("default" | "builtin")) => spec.security.seccomp = Seccomp::Default,
        ("seccomp", Some("unconfined")) => spec.security.seccomp = Seccomp::Unconfined,
        ("seccomp", Some(path)) if !path.is_empty() => {
            spec.security.seccomp = profile(Path::new(path))?;
        }
        ("landlock", Some("auto")) => spec.security.landlock = Landlock::Auto,
        ("landlock", Some("off")) => spec.security.landlock = Landlock::Off,
        ("landlock", Some("required")) => spec.security.landlock = Landlock::Required,
        _ => {
            let expected = "expected no-new-privileges[=false], seccomp=default|unconfined|FILE \
                            or landlock=auto|off|required";
            return Err(wrong(OPTION, format!("{expected}, found {option:?}")));
        }
    }
    Ok(())
}

fn profile(path: &Path) -> libctr::Result<Seccomp> {
    let json = std::fs::read(path).map_err(|error| {
        Error::io(Stage::Spec, format!("{OPTION}: seccomp: read({path:?})"), error)
    })?;
    match serde_json::from_slice(&json) {
        Ok(Seccomp::Profile(profile)) => Ok(Seccomp::Profile(profile)),
        Ok(_) => Err(wrong(OPTION, format!("seccomp: {path:?} is no profile"))),
        Err(error) => Err(wrong(OPTION, format!("seccomp: {path:?}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{IdMap, apply, id_map};
    use libctr::spec::{Landlock, RunSpec, Seccomp};
    use std::io::Write;

    #[test]
    fn options_have_the_spellings_of_docker() {
        let mut spec = RunSpec::default();
        apply("no-new-privileges=false", &mut spec).unwrap();
        apply("seccomp=unconfined", &mut spec).unwrap();
        apply("landlock=required", &mut spec).unwrap();
        assert_eq!(spec.security.landlock, Landlock::Required);
        apply("landlock:auto", &mut spec).unwrap();
        assert!(!spec.security.no_new_privileges);
        assert_eq!(spec.security.seccomp, Seccomp::Unconfined);
        apply("no-new-privileges:true", &mut spec).unwrap();
        apply("seccomp=default", &mut spec).unwrap();
        assert_eq!(spec, RunSpec::default());
    }

    #[test]
    fn map_of_ids_is_two_or_three_numbers() {
        let map = |container, host, size| Ok(IdMap { container, host, size });
        assert_eq!(id_map("0:1000:1"), map(0, 1000, 1));
        assert_eq!(id_map("5:100000"), map(5, 100_000, 1));
        for text in ["", "0", "0:1:2:3", "a:1:1", "0:-1:1", "0:4294967296:1", "0::1", "@1:2:3"] {
            assert!(id_map(text).is_err(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let mut spec = RunSpec::default();
        for option in ["apparmor=x", "seccomp", "seccomp=", "no-new-privileges=maybe", ""] {
            let error = apply(option, &mut spec).unwrap_err().to_string();
            assert!(error.ends_with(&format!("found {option:?}")), "{error}");
        }
        assert!(
            apply("seccomp=/no/such/file", &mut spec).unwrap_err().to_string().contains("ENOENT")
        );
    }

    #[test]
    fn profile_is_read_from_its_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(br#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
        let mut spec = RunSpec::default();
        let option = format!("seccomp={}", file.path().display());
        apply(&option, &mut spec).unwrap();
        assert!(matches!(spec.security.seccomp, Seccomp::Profile(_)));
        file.write_all(b"x").unwrap();
        assert!(apply(&option, &mut spec).is_err());
    }
}
