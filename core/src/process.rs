//! The process command: Entrypoint, Cmd, Env, User, WorkingDir of the image,
//! merged with what the caller gives.
//!
//! Stages `process` and `user`, host side. `RunSpec` + image configuration +
//! lower directories → numbers and byte strings that the plan copies; nothing
//! is left to look up. The image's values are as hostile as its files: each
//! is checked here. Errors: `InvalidInput`, `ProgramNotFound` (stage
//! `process`); `NotFound`, `InvalidInput` and what the kernel says (stage
//! `user`). Sources: the OCI image specification, config.md; the behaviour of
//! Docker where that is silent.

mod argv;
mod environment;
#[cfg(fuzzing)]
pub mod fuzz;
mod lower;
mod merged;
mod passwd;
mod user;
mod who;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};
use oci_spec::image::Config;

use crate::spec::{RunSpec, Text, signal_number};
use crate::{Error, Result, Stage};

/// What the helper executes, as whom and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Arguments, at least one.
    pub(crate) args: Vec<OsString>,
    /// Files to try with `execve`, in order. Relative ones count from `cwd`.
    /// Empty where the search path has no usable directory.
    pub(crate) programs: Vec<OsString>,
    /// Variables as `NAME=value`, each name once.
    pub(crate) env: Vec<OsString>,
    /// What image and caller have said of variables, for later programs of the
    /// container; `None` removes one.
    pub(crate) given: BTreeMap<String, Option<Text>>,
    /// Working directory inside: absolute, without `.` and `..`.
    pub(crate) cwd: PathBuf,
    /// The user as the caller or the image names it.
    pub(crate) user: String,
    /// User id inside.
    pub(crate) uid: u32,
    /// Group id inside.
    pub(crate) gid: u32,
    /// Supplementary groups, `gid` first, each once, at most 65536.
    pub(crate) groups: Vec<u32>,
    /// File mode creation mask.
    pub(crate) umask: u32,
    /// Home directory by the container's `/etc/passwd`, `/` if not known.
    pub(crate) home: PathBuf,
    /// Signal that asks the program to end, 1 to 64.
    pub(crate) stop_signal: i32,
}

/// Works out the command of a validated `spec`.
///
/// `lowers` are the directories of the host that the container's root is made
/// of, topmost first: layers of an overlay, a root directory, or `/`.
pub(crate) fn resolve(
    spec: &RunSpec,
    image: Option<&Config>,
    lowers: &[PathBuf],
    hostname: &str,
) -> Result<Process> {
    let args = argv::command(spec, image)?;
    let cwd = working_directory(spec, image)?;
    let stop_signal = stop_signal(spec, image)?;

    let of_image = image.and_then(|image| image.user().as_deref()).unwrap_or_default();
    let wanted = spec.user.as_deref().filter(|user| !user.is_empty()).unwrap_or(of_image);
    let user = user::resolve(wanted, &spec.groups, lowers)?;

    let of_image = image.and_then(|image| image.env().as_deref()).unwrap_or_default();
    let host = |name: &str| std::env::var_os(name);
    let env = environment::merge(spec, of_image, hostname, user.home.as_os_str(), host)?;
    let programs = argv::programs(&args[0], env.get("PATH"))?;
    let given = env.given().clone();
    let env = env.into_strings();
    check_strings("argument", &args)?;
    check_strings("variable", &env)?;

    Ok(Process {
        args,
        programs,
        env,
        given,
        cwd,
        user: wanted.to_owned(),
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        umask: spec.umask.unwrap_or(0o022),
        home: user.home,
        stop_signal,
    })
}

/// The caller's directory, else the image's, else `/`. `..` is taken away as
/// text, as Docker does, before anything could make it on the host.
fn working_directory(spec: &RunSpec, image: Option<&Config>) -> Result<PathBuf> {
    let of_image =
        image.and_then(|image| image.working_dir().as_deref()).filter(|path| !path.is_empty());
    let (cwd, whose) = match (&spec.cwd, of_image) {
        (Some(cwd), _) => (cwd.as_path(), "cwd"),
        (None, Some(path)) => (Path::new(path), "WorkingDir of the image"),
        (None, None) => (Path::new("/"), "cwd"),
    };
    if !cwd.is_absolute() || cwd.as_os_str().as_bytes().contains(&0) {
        let message = format!("{whose} is {cwd:?}, expected an absolute path without NUL bytes");
        return Err(Error::invalid(Stage::Process, message));
    }
    let mut clean = PathBuf::from("/");
    for component in cwd.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

/// The caller's signal, else the image's, else SIGTERM.
fn stop_signal(spec: &RunSpec, image: Option<&Config>) -> Result<i32> {
    let of_image =
        image.and_then(|image| image.stop_signal().as_deref()).filter(|name| !name.is_empty());
    let (name, whose) = match (spec.stop_signal.as_deref(), of_image) {
        (Some(name), _) => (name, "stop_signal"),
        (None, Some(name)) => (name, "StopSignal of the image"),
        (None, None) => return Ok(libc::SIGTERM),
    };
    signal_number(name).ok_or_else(|| {
        let message =
            format!("{whose} is {name:?}, expected a signal such as \"SIGTERM\" or \"15\"");
        Error::invalid(Stage::Process, message)
    })
}

/// What `execve` would refuse, found before a process exists. The length is
/// the kernel's MAX_ARG_STRLEN, 32 pages with the NUL (execve(2)).
fn check_strings(what: &str, strings: &[OsString]) -> Result<()> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    let most = page.and_then(|page| usize::try_from(page).ok()).unwrap_or(4096) * 32;
    for (index, string) in strings.iter().enumerate() {
        let message = if string.as_bytes().contains(&0) {
            format!("{what} {index} contains a NUL byte")
        } else if string.len() >= most {
            format!("{what} {index} has {} bytes, the kernel takes {}", string.len(), most - 1)
        } else {
            continue;
        };
        return Err(Error::invalid(Stage::Process, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
