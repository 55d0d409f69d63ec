//! Where containers and images live, and the calls that begin there.

use std::collections::HashSet;
use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{AccessFlags, eaccess, geteuid};
use once_cell::sync::OnceCell;

use crate::container::{Container, Info};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::Store;
use crate::launch::{self, RunOptions};
use crate::spec::RunSpec;
use crate::state::{self, StateDir};

/// A state directory and a data directory. Cheap to clone; every call works
/// from any thread. C: `ctr_runtime_t`.
#[doc(alias = "ctr_runtime_t")]
#[derive(Clone, Debug)]
pub struct Runtime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    run: PathBuf,
    data: PathBuf,
    helper: Option<PathBuf>,
    images: OnceCell<Store>,
}

/// Where a [`Runtime`] keeps its things. `None` means the default.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// State of containers. Default: `/run/libctr` as root, else
    /// `$XDG_RUNTIME_DIR/libctr`.
    pub run: Option<PathBuf>,
    /// Images and upper layers. Default: `/var/lib/libctr` as root, else
    /// `$XDG_DATA_HOME/libctr` (`~/.local/share/libctr`).
    pub data: Option<PathBuf>,
    /// The helper program as a file, for systems that forbid to execute
    /// anything else. Default: the copy inside the library.
    pub helper: Option<PathBuf>,
}

impl RuntimeOptions {
    /// The state and the data directory that these options mean.
    pub(crate) fn directories(&self) -> (PathBuf, PathBuf) {
        let run = absolute(self.run.clone().unwrap_or_else(default_run));
        let data = absolute(self.data.clone().unwrap_or_else(default_data));
        (run, data)
    }
}

impl Runtime {
    /// Opens the directories, makes the first where missing, and removes what
    /// hosts that were killed have left there. C: `ctr_runtime_open`.
    ///
    /// # Errors
    /// Stage `state` if they cannot be made or read.
    #[doc(alias = "ctr_runtime_open")]
    pub fn open(options: &RuntimeOptions) -> Result<Runtime> {
        let (run, data) = options.directories();
        if options.run.is_none() {
            claim(&run)?;
        }
        // Elsewhere it is made when it is needed.
        if options.data.is_none() && (data.exists() || data.starts_with(env::temp_dir())) {
            claim(&data)?;
        }
        state::prepare(&run)?;
        state::sweep(&run)?;
        Ok(Runtime(Arc::new(Inner {
            run,
            data,
            helper: options.helper.clone(),
            images: OnceCell::new(),
        })))
    }

    /// Runs a container: returns as soon as its program was executed.
    /// C: `ctr_run`.
    ///
    /// # Errors
    /// The stage that failed, with the call and its errno; nothing is left
    /// of the container then.
    #[doc(alias = "ctr_run")]
    pub fn run(&self, spec: &RunSpec, options: RunOptions<'_>) -> Result<Container> {
        launch::run(self, spec, options)
    }

    /// Opens a container by name, id, or the beginning of its id.
    /// C: `ctr_container_open`.
    ///
    /// # Errors
    /// NotFound if there is none, InvalidInput if there are several.
    #[doc(alias = "ctr_container_open")]
    pub fn container(&self, name: &str) -> Result<Container> {
        Container::open(self, state::find(self.run_directory(), name)?)
    }

    /// All containers, the oldest first. C: `ctr_list_json`.
    ///
    /// # Errors
    /// Stage `state` if the state directory cannot be read.
    #[doc(alias = "ctr_list_json")]
    pub fn list(&self) -> Result<Vec<Info>> {
        let mut list = Vec::new();
        for id in state::ids(self.run_directory())? {
            match self.container(&id).and_then(|container| container.info()) {
                Ok(info) => list.push(info),
                // It has ended and been removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // One damaged container does not hide the others.
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    log::warn!("container {id}: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        list.sort_by_key(|info| info.created_at_ns);
        Ok(list)
    }

    /// Ids of the layers that containers need, also those that have ended and
    /// are kept: what `in_use` of [`Store::remove`] and [`Store::prune`] asks.
    ///
    /// # Errors
    /// Stage `state` if the state directory cannot be read.
    pub fn layers_in_use(&self) -> Result<HashSet<String>> {
        let mut layers = HashSet::new();
        for id in state::ids(self.run_directory())? {
            match StateDir::of_id(self.run_directory(), &id).meta() {
                Ok(meta) => layers.extend(meta.layers),
                // It has ended and been removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // One damaged container does not hide the others.
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    log::warn!("container {id}: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(layers)
    }

    /// The image store; made at first use.
    ///
    /// # Errors
    /// Stage `image` if it cannot be opened.
    pub fn images(&self) -> Result<&Store> {
        self.0.images.get_or_try_init(|| Store::open(&self.0.data))
    }

    /// The directory of images and upper layers.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.0.data
    }

    pub(crate) fn helper(&self) -> Option<&Path> {
        self.0.helper.as_deref()
    }

    /// The directory of the containers' state.
    #[must_use]
    pub fn run_directory(&self) -> &Path {
        &self.0.run
    }
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Whether the caller is root and a directory of the system its own: root of
/// another's user namespace has that user's.
fn is_system(directory: &str) -> bool {
    geteuid().is_root() && eaccess(directory, AccessFlags::W_OK).is_ok()
}

/// Makes a directory that the caller did not choose, whose name others can
/// guess, and refuses what somebody else has put there or can write to.
fn claim(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    let failed = |error| Error::io(Stage::State, format!("mkdir({path:?})"), error);
    made.map_err(failed)?;
    // A link is somebody's, too.
    let link = fs::symlink_metadata(path).map_err(failed)?;
    let found = fs::metadata(path).map_err(failed)?;
    let own = geteuid().as_raw();
    let refusal = if let Some(other) = [link.uid(), found.uid()].into_iter().find(|id| *id != own) {
        format!("{path:?} belongs to user {other}")
    } else if found.mode() & 0o022 != 0 {
        format!("{path:?} can be written to by others (mode {:o})", found.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(Error::new(Stage::State, ErrorKind::Denied, refusal).with_hint(
        "set XDG_RUNTIME_DIR and XDG_DATA_HOME to directories of your own, or remove this one",
    ))
}

fn default_run() -> PathBuf {
    if is_system("/run") {
        return PathBuf::from("/run/libctr");
    }
    match env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) => Path::new(&directory).join("libctr"),
        None => env::temp_dir().join(format!("libctr-{}", geteuid())),
    }
}

fn default_data() -> PathBuf {
    if is_system("/var/lib") {
        return PathBuf::from("/var/lib/libctr");
    }
    match (env::var_os("XDG_DATA_HOME"), env::var_os("HOME")) {
        (Some(directory), _) => Path::new(&directory).join("libctr"),
        (None, Some(home)) => Path::new(&home).join(".local/share/libctr"),
        (None, None) => env::temp_dir().join(format!("libctr-{}-data", geteuid())),
    }
}
