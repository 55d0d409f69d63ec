//! Options about variables, which `run` and `exec` have.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::BufRead;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::Args;
use libctr::spec::Text;
use libctr::{Error, Stage};

use crate::failure::wrong;

#[derive(Debug, Args)]
pub(crate) struct Variables {
    /// Variable: NAME=VALUE, or NAME to take ours
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    env: Vec<OsString>,
    /// File with a variable on each line
    #[arg(long = "env-file", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    env_files: Vec<PathBuf>,
}

/// The two parts of a document that variables go to.
struct Into<'a> {
    env: &'a mut BTreeMap<String, Option<Text>>,
    inherit: &'a mut Vec<String>,
}

impl Variables {
    /// Puts them into a document.
    pub(crate) fn apply(
        &self,
        env: &mut BTreeMap<String, Option<Text>>,
        inherit: &mut Vec<String>,
    ) -> libctr::Result<()> {
        let mut into = Into { env, inherit };
        for file in &self.env_files {
            read(file, &mut into)?;
        }
        for variable in &self.env {
            set(&mut into, "--env", variable)?;
        }
        Ok(())
    }
}

/// One variable: the last word about a name counts.
fn set(into: &mut Into<'_>, option: &str, variable: &OsStr) -> libctr::Result<()> {
    let bytes = variable.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b'=');
    let name = std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())])
        .map_err(|_| wrong(option, format!("{variable:?}: the name is not UTF-8")))?;
    if name.is_empty() {
        return Err(wrong(option, format!("expected NAME or NAME=VALUE, found {variable:?}")));
    }
    into.inherit.retain(|known| known != name);
    match end {
        Some(end) => {
            let value = Text::from(OsStr::from_bytes(&bytes[end + 1..]));
            into.env.insert(name.to_owned(), Some(value));
        }
        None => {
            into.env.remove(name);
            into.inherit.push(name.to_owned());
        }
    }
    Ok(())
}

/// Docker's format: a variable on each line, nothing is quoted, lines that
/// begin with `#` are comments.
fn read(path: &Path, into: &mut Into<'_>) -> libctr::Result<()> {
    let failed =
        |call: &str, error| Error::io(Stage::Spec, format!("--env-file: {call}({path:?})"), error);
    let file = std::fs::File::open(path).map_err(|error| failed("open", error))?;
    for (number, line) in std::io::BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|error| failed("read", error))?;
        let line = line.strip_suffix(b"\r").unwrap_or(&line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let name = line.split(|byte| *byte == b'=').next().unwrap_or_default();
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            let place = format!("{path:?}, line {}", number + 1);
            return Err(wrong("--env-file", format!("{place}: expected NAME=VALUE")));
        }
        set(into, "--env-file", &OsString::from_vec(line.to_vec()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Into, read, set};
    use std::collections::BTreeMap;
    use std::ffi::OsStr;
    use std::io::Write;

    #[test]
    fn last_word_about_a_variable_counts() {
        let (mut env, mut inherit) = (BTreeMap::new(), Vec::new());
        let mut into = Into { env: &mut env, inherit: &mut inherit };
        for variable in ["A=1", "A", "B", "B=x=y", "C="] {
            set(&mut into, "--env", OsStr::new(variable)).unwrap();
        }
        assert_eq!(*into.inherit, ["A"]);
        assert_eq!(into.env["B"], Some("x=y".into()));
        assert_eq!(into.env["C"], Some("".into()));
        assert!(!into.env.contains_key("A"));
        let error = set(&mut into, "--env", OsStr::new("=x")).unwrap_err().to_string();
        assert_eq!(error, "spec: --env: expected NAME or NAME=VALUE, found \"=x\"");
    }

    #[test]
    fn variables_of_a_file_are_not_quoted() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"# comment\n\n  A=\"1 2\"\r\nB\n").unwrap();
        let (mut env, mut inherit) = (BTreeMap::new(), Vec::new());
        let mut into = Into { env: &mut env, inherit: &mut inherit };
        read(file.path(), &mut into).unwrap();
        assert_eq!(into.env["A"], Some("\"1 2\"".into()));
        assert_eq!(*into.inherit, ["B"]);
        file.write_all(b"export C=1\n").unwrap();
        let error = read(file.path(), &mut into).unwrap_err().to_string();
        assert!(error.ends_with(", line 5: expected NAME=VALUE"), "{error}");
    }
}
