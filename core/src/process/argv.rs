//! The command: which arguments, and which files may be the program.
//!
//! Stage `process`, host side. Docker's rules for Entrypoint and Cmd; the
//! search is the one of execvp(3), written out as a list because the helper
//! that tries the candidates resolves no names.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use oci_spec::image::Config;

use super::environment::DEFAULT_PATH;
use crate::spec::{RunSpec, Text};
use crate::{Error, ErrorKind, Result, Stage};

/// The longest name of a file and of a path, without and with its NUL.
const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;

/// Entry point and arguments in one list that is not empty.
pub(super) fn command(spec: &RunSpec, image: Option<&Config>) -> Result<Vec<OsString>> {
    let of_image = |list: Option<&Vec<String>>| -> Vec<OsString> {
        list.into_iter().flatten().map(OsString::from).collect()
    };
    let given = |list: &[Text]| -> Vec<OsString> {
        list.iter().cloned().map(Text::into_os_string).collect()
    };
    let mut argv = match spec.entrypoint.as_deref() {
        None => of_image(image.and_then(|image| image.entrypoint().as_ref())),
        // The way to say "no entry point and no Cmd" on Docker's command line.
        Some([only]) if only.is_empty() => Vec::new(),
        Some(list) => given(list),
    };
    // An entry point with something in it has taken the place of Cmd as well.
    let keeps_cmd = spec.entrypoint.as_ref().is_none_or(Vec::is_empty);
    if !spec.args.is_empty() {
        argv.extend(given(&spec.args));
    } else if keeps_cmd {
        argv.extend(of_image(image.and_then(|image| image.cmd().as_ref())));
    }
    if argv.is_empty() {
        return Err(Error::invalid(
            Stage::Process,
            "no command: the image has no Entrypoint or Cmd and args is empty",
        ));
    }
    Ok(argv)
}

/// The files to try in order: `name` itself if it has a slash, else `name` in
/// every directory of `path` (`None`: the default). An empty directory is the
/// working directory.
pub(super) fn programs(name: &OsStr, path: Option<&OsStr>) -> Result<Vec<OsString>> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() >= PATH_MAX {
        let message =
            format!("the program's name has {} bytes, expected 1 to {}", bytes.len(), PATH_MAX - 1);
        return Err(Error::new(Stage::Process, ErrorKind::ProgramNotFound, message));
    }
    if bytes.contains(&b'/') {
        return Ok(vec![name.to_owned()]);
    }
    if bytes.len() > NAME_MAX {
        let message = format!(
            "the program's name has {} bytes, a file name has at most {NAME_MAX}",
            bytes.len()
        );
        return Err(Error::new(Stage::Process, ErrorKind::ProgramNotFound, message));
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes();
    let mut seen = HashSet::new();
    let candidates = path
        .split(|byte| *byte == b':')
        .map(|directory| if directory.is_empty() { b"." } else { directory })
        .filter(|directory| directory.len() + 1 + bytes.len() < PATH_MAX && seen.insert(*directory))
        .map(|directory| OsStr::from_bytes(&[directory, b"/", bytes].concat()).to_owned());
    Ok(candidates.collect())
}

#[cfg(test)]
mod tests {
    use super::{command, programs};
    use crate::spec::{RunSpec, Text};
    use crate::{ErrorKind, Stage};
    use oci_spec::image::{Config, ConfigBuilder};
    use std::ffi::{OsStr, OsString};

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn image(entrypoint: &[&str], cmd: &[&str]) -> Config {
        ConfigBuilder::default().entrypoint(list(entrypoint)).cmd(list(cmd)).build().unwrap()
    }

    #[test]
    fn arguments_and_entry_points_combine_as_in_docker() {
        let both = image(&["/entry"], &["cmd", "1"]);
        let texts = |words: &[&str]| words.iter().map(|word| Text::from(*word)).collect::<Vec<_>>();
        type Words = &'static [&'static str];
        let cases: [(Option<Words>, Words, Words); 8] = [
            (None, &[], &["/entry", "cmd", "1"]),
            (None, &["a", "b"], &["/entry", "a", "b"]),
            (Some(&["/other", "-x"]), &[], &["/other", "-x"]),
            (Some(&["/other"]), &["a"], &["/other", "a"]),
            (Some(&[]), &[], &["cmd", "1"]),
            (Some(&[]), &["a"], &["a"]),
            (Some(&[""]), &["a"], &["a"]),
            (Some(&["", "x"]), &[], &["", "x"]),
        ];
        for (entrypoint, args, expected) in cases {
            let spec = RunSpec {
                entrypoint: entrypoint.map(texts),
                args: texts(args),
                ..RunSpec::default()
            };
            let expected: Vec<_> = expected.iter().map(OsString::from).collect();
            assert_eq!(command(&spec, Some(&both)).unwrap(), expected, "{entrypoint:?} {args:?}");
        }
    }

    #[test]
    fn nothing_to_run_is_refused() {
        let cleared = RunSpec { entrypoint: Some(vec!["".into()]), ..RunSpec::default() };
        let both = image(&["/entry"], &["cmd"]);
        let nothing = image(&[], &[]);
        let default = RunSpec::default();
        for (spec, image) in [(&cleared, Some(&both)), (&default, Some(&nothing)), (&default, None)]
        {
            let error = command(spec, image).unwrap_err();
            assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Process));
            assert_eq!(
                error.message(),
                "no command: the image has no Entrypoint or Cmd and args is empty"
            );
        }
    }

    fn candidates(name: &str, path: Option<&str>) -> Vec<String> {
        let found = programs(OsStr::new(name), path.map(OsStr::new)).unwrap();
        found.into_iter().map(|file| file.into_string().unwrap()).collect()
    }

    #[test]
    fn candidates_follow_the_search_path() {
        assert_eq!(candidates("sh", Some("/bin:/usr/bin:/bin")), ["/bin/sh", "/usr/bin/sh"]);
        assert_eq!(candidates("sh", Some(":rel::/bin")), ["./sh", "rel/sh", "/bin/sh"]);
        assert_eq!(candidates("./sh", Some("/bin")), ["./sh"]);
        assert_eq!(candidates("/bin/sh", None), ["/bin/sh"]);
        assert_eq!(candidates("sh", None).len(), 6);
        assert_eq!(candidates("sh", Some(&format!("/{}:/bin", "d".repeat(4100)))), ["/bin/sh"]);
    }

    #[test]
    fn names_that_no_file_has_are_refused() {
        for name in ["".to_owned(), "n".repeat(256), format!("/{}", "n".repeat(4095))] {
            let error = programs(OsStr::new(&name), None).unwrap_err();
            assert_eq!((error.kind(), error.stage()), (ErrorKind::ProgramNotFound, Stage::Process));
        }
        assert_eq!(candidates(&"n".repeat(255), Some("/bin")).len(), 1);
    }
}
