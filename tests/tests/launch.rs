//! From where the helper program is executed: a sealed memory file, an
//! unlinked file where those are forbidden, or a path of the caller's.

use std::process::Command;

use libctr::{ErrorKind, RunOptions, Runtime, RuntimeOptions, Stage, Stdio};
use libctr_tests::{as_root, fixture};

const INNER: &str = "LIBCTR_TEST_MEMFD_FORBIDDEN";

#[test]
fn helper_at_a_path_is_used_and_a_wrong_path_is_named() {
    let Some(fixture) = fixture() else { return };
    let mut options = fixture.options();
    options.helper = Some(fixture.path().join("nothing"));
    let runtime = Runtime::open(&options).expect("runtime");
    let spec = fixture.probe(&["hostname"]);
    let error = runtime.run(&spec, RunOptions::default()).expect_err("no such helper");
    assert_eq!((error.kind(), error.stage()), (ErrorKind::NotFound, Stage::Launch));
    assert_eq!(error.errno(), Some(libc::ENOENT));
    assert!(error.to_string().contains("nothing\") (helper)"), "{error}");

    // Any program can stand there; one that is no helper ends without a word.
    options.helper = Some("/bin/true".into());
    let runtime = Runtime::open(&options).expect("runtime");
    let error = runtime.run(&spec, RunOptions::default()).expect_err("no helper");
    assert_eq!((error.kind(), error.stage()), (ErrorKind::SetupFailed, Stage::Launch));
    assert!(error.to_string().contains("the helper ended before"), "{error}");
}

#[test]
fn memory_files_forbidden_are_replaced_by_an_unlinked_file() {
    if std::env::var_os(INNER).is_some() {
        return forbidden();
    }
    let Some(_turn) = fixture().filter(|_| as_root()) else { return };
    // The setting belongs to the pid namespace, so a new one does not touch
    // the machine's (Documentation/admin-guide/sysctl/vm.rst, memfd_noexec).
    let script = "test -e /proc/sys/vm/memfd_noexec || exit 77; \
                  echo 2 > /proc/sys/vm/memfd_noexec && exec \"$0\" --exact --nocapture \
                  memory_files_forbidden_are_replaced_by_an_unlinked_file";
    let this = std::env::current_exe().expect("own path");
    let status = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "sh", "-c", script])
        .arg(this)
        .env(INNER, "1")
        .status()
        .expect("unshare");
    if status.code() == Some(77) {
        return libctr_tests::skip("this kernel cannot forbid memory files (before 6.3)");
    }
    assert!(status.success(), "{status}");
}

/// The same test, in a pid namespace without executable memory files; this
/// process is its pid 1, so the helpers become its children and are reaped.
fn forbidden() {
    let setting = std::fs::read_to_string("/proc/sys/vm/memfd_noexec").expect("setting");
    assert_eq!(setting.trim(), "2");
    let fixture = fixture().expect("root");
    assert_eq!(fixture.ask(&["hostname"]).len(), 12);
    let runtime = Runtime::open(&RuntimeOptions { ..fixture.options() }).expect("runtime");
    let options = RunOptions { stdout: Stdio::Null, ..RunOptions::default() };
    let container = runtime.run(&fixture.probe(&["hostname"]), options).expect("container");
    assert!(container.wait(None).expect("end").is_some_and(|exit| exit.success()));
    let helper = fixture.path().join("run/containers").read_dir().expect("directory").count();
    assert_eq!(helper, 0, "containers are removed");
}
