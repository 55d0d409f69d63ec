//! Where containers and images are without `--root` and `--data`, for an
//! ordinary user who has no XDG directories: places that others can guess.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::bench::{Bench, Ran, is_root};

/// `ctrun ps` without any directory given but a temporary one.
fn ps(temporary: &Path) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctrun"));
    for name in ["XDG_RUNTIME_DIR", "XDG_DATA_HOME", "HOME"] {
        command.env_remove(name);
    }
    command.env("TMPDIR", temporary).arg("ps").stdin(Stdio::null());
    command.output().expect("ctrun").into()
}

#[test]
fn guessable_place_is_made_for_the_user_alone_and_otherwise_refused() {
    if is_root() {
        return;
    }
    let bench = Bench::new();
    let temporary = bench.path("tmp");
    fs::create_dir(&temporary).expect("directory");
    let place = temporary.join(format!("libctr-{}", geteuid()));
    ps(&temporary).good();
    for name in [place.clone(), temporary.join(format!("libctr-{}-data", geteuid()))] {
        let mode = fs::metadata(&name).expect("made").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o700, "{name:?}");
        fs::set_permissions(&name, PermissionsExt::from_mode(0o1777)).expect("mode");
        let text = ps(&temporary).bad(125);
        let refusal = format!("ctrun: state: {name:?} can be written to by others (mode 1777)\n");
        assert!(text.starts_with(&refusal) && text.contains("hint: set XDG_RUNTIME_DIR"), "{text}");
        fs::set_permissions(&name, PermissionsExt::from_mode(0o700)).expect("mode");
        ps(&temporary).good();
    }
    fs::remove_dir_all(&place).expect("directory");
    symlink("/usr", &place).expect("link");
    let text = ps(&temporary).bad(125);
    assert!(text.starts_with(&format!("ctrun: state: {place:?} belongs to user 0\n")), "{text}");
}
