//! The environment of the program.
//!
//! Stage `process`, host side. Later sources replace earlier ones: defaults,
//! the image's Env, what is inherited by name, what the caller gives; the
//! place of a variable stays where it was first named. Nothing of the host is
//! inherited unless named. Source: the behaviour of Docker, whose image Env
//! removes a variable with an entry that has no `=`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};

use crate::spec::{RunSpec, Text};
use crate::{Error, Result, Stage};

/// The search path where neither image nor caller gives one; Docker's.
pub(super) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables in the order in which they were first set.
#[derive(Debug, Default)]
pub(super) struct Environment {
    entries: Vec<Option<(OsString, OsString)>>,
    places: HashMap<OsString, usize>,
    /// What was said by image and caller, not by default.
    given: BTreeMap<String, Option<Text>>,
}

impl Environment {
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        let place = self.places.get(OsStr::new(name))?;
        self.entries[*place].as_ref().map(|(_, value)| value.as_os_str())
    }

    /// What image and caller have said of variables; `None` removes one.
    pub(super) fn given(&self) -> &BTreeMap<String, Option<Text>> {
        &self.given
    }

    fn give(&mut self, name: &str, value: Option<OsString>) {
        self.given.insert(name.to_owned(), value.clone().map(Text::from));
        self.set(OsStr::new(name), value);
    }

    fn set(&mut self, name: &OsStr, value: Option<OsString>) {
        let entry = value.map(|value| (name.to_owned(), value));
        match self.places.get(name) {
            Some(place) => self.entries[*place] = entry,
            None => {
                self.places.insert(name.to_owned(), self.entries.len());
                self.entries.push(entry);
            }
        }
    }

    /// As `execve` takes it.
    pub(super) fn into_strings(self) -> Vec<OsString> {
        let join = |(mut name, value): (OsString, OsString)| {
            name.push("=");
            name.push(value);
            name
        };
        self.entries.into_iter().flatten().map(join).collect()
    }
}

/// Merges all sources. `host` looks a variable of the host up.
pub(super) fn merge(
    spec: &RunSpec,
    image: &[String],
    hostname: &str,
    home: &OsStr,
    host: impl Fn(&str) -> Option<OsString>,
) -> Result<Environment> {
    let mut env = Environment::default();
    let mut set = |name: &str, value: Option<OsString>| env.set(OsStr::new(name), value);
    set("PATH", Some(DEFAULT_PATH.into()));
    set("HOSTNAME", Some(hostname.into()));
    set("HOME", Some(home.to_owned()));
    if spec.tty {
        set("TERM", Some("xterm".into()));
    }
    for (index, entry) in image.iter().enumerate() {
        let (name, value) = match entry.split_once('=') {
            Some((name, value)) => (name, Some(value.into())),
            None => (entry.as_str(), None),
        };
        if name.is_empty() || entry.as_bytes().contains(&0) {
            let message = format!("Env[{index}] of the image is {entry:?}, expected NAME=value");
            return Err(Error::invalid(Stage::Process, message));
        }
        env.give(name, value);
    }
    for name in &spec.inherit_env {
        if let Some(value) = host(name) {
            env.give(name, Some(value));
        }
    }
    for (name, value) in &spec.env {
        env.give(name, value.clone().map(|value| value.into_os_string()));
    }
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_PATH, merge};
    use crate::spec::RunSpec;
    use crate::{ErrorKind, Stage};
    use std::ffi::OsStr;

    fn strings(spec: &RunSpec, image: &[&str]) -> Vec<String> {
        let image: Vec<_> = image.iter().map(|entry| (*entry).to_owned()).collect();
        let host = |name: &str| (name == "LANG").then(|| "C.UTF-8".into());
        let env = merge(spec, &image, "box", OsStr::new("/root"), host).unwrap();
        env.into_strings().into_iter().map(|entry| entry.into_string().unwrap()).collect()
    }

    #[test]
    fn defaults_are_path_hostname_home_and_term_of_a_terminal() {
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(strings(&RunSpec::default(), &[]), [&path, "HOSTNAME=box", "HOME=/root"]);
        let spec = RunSpec { tty: true, ..RunSpec::default() };
        assert_eq!(strings(&spec, &[]), [&path, "HOSTNAME=box", "HOME=/root", "TERM=xterm"]);
    }

    #[test]
    fn later_sources_win_and_null_removes() {
        let inherit_env = vec!["LANG".into(), "UNSET_ON_HOST".into()];
        let mut spec = RunSpec { inherit_env, ..RunSpec::default() };
        spec.env.insert("B".into(), Some("spec".into()));
        spec.env.insert("HOME".into(), None);
        spec.env.insert("NEW".into(), Some("a=b".into()));
        spec.env.insert("NEVER".into(), None);
        let image = [
            "PATH=/bin",
            "B=image",
            "LANG=C",
            "UNSET_ON_HOST=kept",
            "A=1",
            "A=2",
            "HOSTNAME",
            "E=",
        ];
        assert_eq!(
            strings(&spec, &image),
            ["PATH=/bin", "B=spec", "LANG=C.UTF-8", "UNSET_ON_HOST=kept", "A=2", "E=", "NEW=a=b"]
        );
    }

    #[test]
    fn image_entries_without_a_name_or_with_nul_are_refused() {
        for entry in ["", "=x", "A=\0"] {
            let image = ["B=1".to_owned(), entry.to_owned()];
            let error =
                merge(&RunSpec::default(), &image, "", OsStr::new("/"), |_| None).unwrap_err();
            assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Process));
            assert!(error.message().starts_with("Env[1] of the image is"), "{error}");
        }
    }
}
