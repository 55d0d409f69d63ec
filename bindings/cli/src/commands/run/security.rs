//! Options of `run` about what keeps the program in.

use std::path::Path;

use clap::{Args, ValueEnum};
use libctr::spec::{Degraded, Landlock, RunSpec, Seccomp, UserNamespace};
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
        Ok(())
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
    use super::apply;
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
