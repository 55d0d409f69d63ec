//! Options of `run` about the program: environment, user, directory, init.

use std::ffi::{OsStr, OsString};
use std::io::BufRead;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::Args;
use libctr::spec::{RunSpec, Text};
use libctr::{Error, Stage};

use super::wrong;

#[derive(Debug, Args)]
#[command(next_help_heading = "Program")]
pub(super) struct Process {
    /// Variable: NAME=VALUE, or NAME to take ours
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    env: Vec<OsString>,
    /// File with a variable on each line
    #[arg(long = "env-file", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    env_files: Vec<PathBuf>,
    /// Working directory inside
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// User: a name or number inside, alone or followed by :GROUP
    #[arg(short, long)]
    user: Option<String>,
    /// Another group of the user
    #[arg(long = "group-add", value_name = "GROUP")]
    groups: Vec<String>,
    /// Replace the image's entry point; "" removes it
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<OsString>,
    /// File mode creation mask, octal [default: 022]
    #[arg(long, value_name = "MASK", value_parser = octal)]
    umask: Option<u32>,
    /// Run the program under a tiny init, which is the default
    #[arg(long, overrides_with = "no_init")]
    init: bool,
    /// Make the program pid 1 itself
    #[arg(long, overrides_with = "init")]
    no_init: bool,
    /// Signal that asks the program to end [default: the image's, else TERM]
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
}

/// Reads octal digits.
pub(super) fn octal(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    number.ok_or_else(|| "expected octal digits such as 022".to_owned())
}

impl Process {
    pub(super) fn apply(&self, spec: &mut RunSpec) -> libctr::Result<()> {
        for file in &self.env_files {
            read_variables(file, spec)?;
        }
        for variable in &self.env {
            set(spec, "--env", variable)?;
        }
        if let Some(directory) = &self.workdir {
            spec.cwd = Some(directory.clone());
        }
        spec.user = self.user.clone().or(spec.user.take());
        spec.groups.extend(self.groups.iter().cloned());
        if let Some(program) = &self.entrypoint {
            spec.entrypoint = Some(vec![program.clone().into()]);
        }
        spec.umask = self.umask.or(spec.umask);
        spec.init = (spec.init || self.init) && !self.no_init;
        spec.stop_signal = self.stop_signal.clone().or(spec.stop_signal.take());
        Ok(())
    }
}

/// One variable: the last word about a name counts.
fn set(spec: &mut RunSpec, option: &str, variable: &OsStr) -> libctr::Result<()> {
    let bytes = variable.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b'=');
    let name = std::str::from_utf8(&bytes[..end.unwrap_or(bytes.len())])
        .map_err(|_| wrong(option, format!("{variable:?}: the name is not UTF-8")))?;
    if name.is_empty() {
        return Err(wrong(option, format!("expected NAME or NAME=VALUE, found {variable:?}")));
    }
    spec.inherit_env.retain(|known| known != name);
    match end {
        Some(end) => {
            let value = Text::from(OsStr::from_bytes(&bytes[end + 1..]));
            spec.env.insert(name.to_owned(), Some(value));
        }
        None => {
            spec.env.remove(name);
            spec.inherit_env.push(name.to_owned());
        }
    }
    Ok(())
}

/// Docker's format: a variable on each line, nothing is quoted, lines that
/// begin with `#` are comments.
fn read_variables(path: &Path, spec: &mut RunSpec) -> libctr::Result<()> {
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
        set(spec, "--env-file", &OsString::from_vec(line.to_vec()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{octal, read_variables, set};
    use libctr::spec::RunSpec;
    use std::ffi::OsStr;
    use std::io::Write;

    #[test]
    fn last_word_about_a_variable_counts() {
        let mut spec = RunSpec::default();
        for variable in ["A=1", "A", "B", "B=x=y", "C="] {
            set(&mut spec, "--env", OsStr::new(variable)).unwrap();
        }
        assert_eq!(spec.inherit_env, ["A"]);
        assert_eq!(spec.env["B"], Some("x=y".into()));
        assert_eq!(spec.env["C"], Some("".into()));
        assert!(!spec.env.contains_key("A"));
        let error = set(&mut spec, "--env", OsStr::new("=x")).unwrap_err().to_string();
        assert_eq!(error, "spec: --env: expected NAME or NAME=VALUE, found \"=x\"");
    }

    #[test]
    fn variables_of_a_file_are_not_quoted() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"# comment\n\n  A=\"1 2\"\r\nB\n").unwrap();
        let mut spec = RunSpec::default();
        read_variables(file.path(), &mut spec).unwrap();
        assert_eq!(spec.env["A"], Some("\"1 2\"".into()));
        assert_eq!(spec.inherit_env, ["B"]);
        file.write_all(b"export C=1\n").unwrap();
        let error = read_variables(file.path(), &mut spec).unwrap_err().to_string();
        assert!(error.ends_with(", line 5: expected NAME=VALUE"), "{error}");
    }

    #[test]
    fn masks_are_octal() {
        assert_eq!(octal("0027"), Ok(0o27));
        for text in ["", "8", "-1", "+7", "0o7"] {
            assert!(octal(text).is_err(), "{text}");
        }
    }
}
