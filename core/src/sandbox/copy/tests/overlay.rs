//! An overlay in the mount namespace of a child process, looked at from here
//! through `/proc/<pid>/root`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::sandbox::UpperDirectory;

/// A child that keeps a mount.
pub(super) struct Overlay {
    child: Child,
    merged: PathBuf,
}

impl Overlay {
    /// Mounts the overlay of `lowers`, uppermost first, under an empty upper
    /// layer that is like `top`.
    pub(super) fn mount(
        dir: &Path,
        lowers: &[PathBuf],
        top: &UpperDirectory,
    ) -> Result<Overlay, String> {
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| dir.join(name));
        for path in [&upper, &work, &merged] {
            std::fs::create_dir(path).expect("directory");
        }
        chown(&upper, Some(top.uid), Some(top.gid)).expect("owner");
        let mode = std::fs::Permissions::from_mode(top.mode);
        std::fs::set_permissions(&upper, mode).expect("mode");
        let lowers: Vec<_> = lowers.iter().map(|path| path.display().to_string()).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lowers.join(":"),
            upper.display(),
            work.display()
        );
        let script = "mount -t overlay overlay -o \"$1\" \"$2\" 2>&1 && echo ready && read end";
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", &options])
            .arg(&merged)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut overlay = Overlay { child, merged };
        let mut line = String::new();
        let output = overlay.child.stdout.as_mut().expect("output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        if line == "ready\n" { Ok(overlay) } else { Err(line.trim().to_owned()) }
    }

    /// What the child sees at the mount.
    pub(super) fn root(&self) -> PathBuf {
        let path = self.merged.strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.child.id().to_string()).join("root").join(path)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // The shell ends with its input, and the mount with the shell.
        if let Some(mut input) = self.child.stdin.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.child.wait();
    }
}
