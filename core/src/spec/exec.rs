//! `ExecSpec`: another program for a container that runs, as one document.
//!
//! Stage `spec`, host side; strict as [`super::RunSpec`] is, with the same
//! forms of values. What it leaves out is as for the container's own program.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::{Keep, MAX_DURATION, at_least};
use super::security::Capabilities;
use super::size::{optional_bytes, optional_seconds, seconds};
use super::text::Text;
use super::validate::{MAX_ITEMS, absolute, at_most, mask, refuse, texts, variables};
use super::{document, size, text};
use crate::Result;

/// Another program for a container that runs.
///
/// ```
/// use libctr::spec::ExecSpec;
///
/// let mut spec = ExecSpec { args: vec!["id".into()], ..ExecSpec::default() };
/// spec.user = Some("nobody".into());
/// spec.validate()?;
/// assert_eq!(spec, ExecSpec::from_json(br#"{"args": ["id"], "user": "nobody"}"#)?);
/// # Ok::<(), libctr::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecSpec {
    /// Version of the document: 1.
    pub schema: u32,
    /// The program and its arguments, at least one; no entry point comes
    /// before them.
    pub args: Vec<Text>,
    /// Variables, put over the container's. `None` (JSON `null`) removes one.
    pub env: BTreeMap<String, Option<Text>>,
    /// Names of the host's variables to pass on, over the container's.
    pub inherit_env: Vec<String>,
    /// Absolute working directory inside. `None`: the container's.
    #[serde(with = "text::optional_path")]
    pub cwd: Option<PathBuf>,
    /// `name` or `uid`, alone or followed by `:group` or `:gid`, by what the
    /// container's `/etc/passwd` and `/etc/group` say now. `None` or empty:
    /// the container's.
    pub user: Option<String>,
    /// Supplementary groups in addition to the user's and the container's.
    pub groups: Vec<String>,
    /// File mode creation mask, 0 to 0o777. `None`: the container's.
    #[serde(with = "size::octal")]
    pub umask: Option<u32>,
    /// Whether the program gets a pseudo-terminal of its own.
    pub tty: bool,
    /// Changes of the container's own capability set.
    pub capabilities: Capabilities,
    /// What the program may use besides the container's limits.
    pub limits: ExecLimits,
    /// Whether it goes on when its host ends. Default false. It always ends
    /// with its container.
    pub detach: bool,
}

/// What one program in a container may use; the container's own limits hold
/// for all programs in it together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecLimits {
    /// Time from the program's start to a forced end, in seconds.
    #[serde(with = "optional_seconds")]
    pub wall_time: Option<Duration>,
    /// Seconds between SIGTERM and SIGKILL when it is ended. The default 0
    /// kills at once.
    #[serde(with = "seconds")]
    pub grace: Duration,
    /// Bytes that it may write to each of stdout and stderr where they are
    /// captured. At least 1.
    #[serde(deserialize_with = "optional_bytes")]
    pub output: Option<u64>,
    /// Which part of the output is kept when `output` is reached.
    pub keep: Keep,
}

impl Default for ExecSpec {
    fn default() -> ExecSpec {
        ExecSpec {
            schema: 1,
            args: Vec::new(),
            env: BTreeMap::new(),
            inherit_env: Vec::new(),
            cwd: None,
            user: None,
            groups: Vec::new(),
            umask: None,
            tty: false,
            capabilities: Capabilities::default(),
            limits: ExecLimits::default(),
            detach: false,
        }
    }
}

impl ExecSpec {
    /// Reads and checks a document.
    ///
    /// # Errors
    /// `InvalidInput` at stage `spec`; the message begins with the path of
    /// the value.
    pub fn from_json(json: &[u8]) -> Result<ExecSpec> {
        let spec: ExecSpec = document::decode(&document::read(json)?)?;
        spec.validate()?;
        Ok(spec)
    }

    /// Writes the document without what is at its default.
    ///
    /// # Errors
    /// `Internal` if a value cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        document::write(self, &ExecSpec::default())
    }

    /// Checks every value; nothing on the machine is looked at.
    ///
    /// # Errors
    /// `InvalidInput` at stage `spec`; the message begins with the path of
    /// the value.
    pub fn validate(&self) -> Result<()> {
        if self.schema != 1 {
            return Err(refuse("schema", format!("expected 1, found {}", self.schema))
                .with_hint("a newer libctr may know it"));
        }
        for (key, length) in [
            ("args", self.args.len()),
            ("env", self.env.len()),
            ("inherit_env", self.inherit_env.len()),
            ("groups", self.groups.len()),
        ] {
            at_most(key, length, MAX_ITEMS)?;
        }
        if self.args.is_empty() {
            return Err(refuse("args", "expected the program and its arguments"));
        }
        texts("args", &self.args)?;
        variables(&self.env, &self.inherit_env)?;
        if let Some(cwd) = &self.cwd {
            absolute("cwd", cwd)?;
        }
        mask(self.umask)?;
        self.capabilities.validate("capabilities")?;
        self.limits.validate()
    }
}

impl ExecLimits {
    fn validate(&self) -> Result<()> {
        at_least("limits.output", self.output, 1)?;
        if self.wall_time == Some(Duration::ZERO) {
            return Err(refuse("limits.wall_time", "expected more than 0 seconds")
                .with_hint("leave the key out for no limit"));
        }
        for (key, time) in [("wall_time", self.wall_time), ("grace", Some(self.grace))] {
            if time.is_some_and(|time| time > MAX_DURATION) {
                let most = MAX_DURATION.as_secs();
                let message = format!("expected at most {most} seconds");
                return Err(refuse(format!("limits.{key}"), message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::ExecSpec;
    use crate::{ErrorKind, Stage};
    use std::time::Duration;

    #[test]
    fn document_is_read_back_as_it_was_written() {
        let json = r#"{"args":["sh",{"base64":"/w=="}],"env":{"A":"1","B":null},"cwd":"/tmp","user":"app:2",
            "umask":"0077","tty":true,"capabilities":{"add":["NET_ADMIN"]},
            "limits":{"wall_time":1.5,"output":"1K","keep":"tail"},"detach":true,"x-note":1}"#;
        let spec = ExecSpec::from_json(json.as_bytes()).unwrap();
        assert_eq!(spec.limits.wall_time, Some(Duration::from_millis(1500)));
        assert_eq!((spec.limits.output, spec.umask), (Some(1024), Some(0o77)));
        let again = ExecSpec::from_json(spec.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(spec, again);
    }

    #[test]
    fn wrong_values_are_refused_with_their_path() {
        for (json, text) in [
            ("{}", "args: expected the program and its arguments"),
            (r#"{"args":["x"],"image":"host"}"#, "image: unknown field `image`"),
            (r#"{"args":["x"],"cwd":"tmp"}"#, "cwd: expected an absolute path, found \"tmp\""),
            (r#"{"args":["x"],"umask":"7777"}"#, "umask: expected at most 0777, found 07777"),
            (r#"{"args":["x"],"env":{"A=":"1"}}"#, "env.A=: expected the name of a variable"),
            (r#"{"args":["x\u0000"]}"#, "args[0]: contains a NUL byte"),
            (
                r#"{"args":["x"],"capabilities":{"add":["FLY"]}}"#,
                "capabilities.add[0]: expected a capability",
            ),
            (
                r#"{"args":["x"],"limits":{"wall_time":0}}"#,
                "limits.wall_time: expected more than 0",
            ),
            (r#"{"args":["x"],"limits":{"memory":1}}"#, "limits"),
            (r#"{"args":["x"],"schema":2}"#, "schema: expected 1, found 2"),
        ] {
            let error = ExecSpec::from_json(json.as_bytes()).unwrap_err();
            assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Spec));
            assert!(error.message().starts_with(text), "{json}: {error}");
        }
    }
}
