//! The C interface as C programs meet it: the header in every dialect, the
//! library's symbols and name, and the programs of `bindings/c`, which are
//! compiled here and run against the library.

use libctr_tests::{as_root, fixture};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs};

use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The directory with `libctr.so` and `libctr.a`, built as the tests were; an
/// ordinary user takes what is there.
fn library() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let test = env::current_exe().expect("the path of this test");
        let directory = test.ancestors().nth(2).expect("the profile's directory").to_owned();
        if !libctr_tests::is_root() && directory.join("libctr.so").exists() {
            return directory;
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "libctr-ffi"]).current_dir(root());
        if directory.ends_with("release") {
            cargo.arg("--release");
        }
        done(&mut cargo);
        directory
    })
}

/// Runs a command that must succeed.
fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A place for one test: programs, the library under its name, state.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("a temporary directory"));
        std::os::unix::fs::symlink(library().join("libctr.so"), place.path("libctr.so.0"))
            .expect("a link");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Compiles a program of `bindings/c`; any warning is an error.
    fn compile(&self, source: &str) -> PathBuf {
        let program = self.path("program");
        let mut rpath = std::ffi::OsString::from("-Wl,-rpath,");
        rpath.push(self.0.path());
        done(
            Command::new("cc")
                .args(["-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-pedantic", "-Werror"])
                .arg("-I")
                .arg(root().join("include"))
                .arg(root().join("bindings/c").join(source))
                .arg("-o")
                .arg(&program)
                .arg(self.path("libctr.so.0"))
                .arg(rpath),
        );
        program
    }

    /// Runs it with state and data directories; what it printed. Nothing of
    /// its containers may be left.
    fn run(&self, program: &Path, arguments: &[&Path]) -> String {
        let (state, data) = (self.path("run"), self.path("data"));
        let output = done(Command::new(program).args(arguments).args([&state, &data]));
        for directory in ["containers", "names"] {
            let left: Vec<_> = fs::read_dir(state.join(directory)).expect(directory).collect();
            assert!(left.is_empty(), "{left:?}");
        }
        text(&output.stdout)
    }
}

#[test]
fn hello_prints_what_the_readme_says() {
    let Some(turn) = fixture() else { return };
    if !turn.has_groups() {
        return;
    }
    let place = Place::new();
    let printed = place.run(&place.compile("hello.c"), &[]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], ["hello from box", "exited 0"]);
    let peak = lines[2].strip_prefix("memory peak: ").and_then(|rest| rest.strip_suffix(" bytes"));
    let peak: u64 = peak.expect(lines[2]).parse().expect(lines[2]);
    assert!((1..64 << 20).contains(&peak), "{peak}");
}

#[test]
fn limits_are_reported_as_what_they_are() {
    let Some(turn) = fixture() else { return };
    if !turn.has_groups() {
        return;
    }
    let place = Place::new();
    let printed = place.run(&place.compile("limits.c"), &[]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!((lines[0], lines[2]), ("oom_killed, signal 9", "wall_timeout, signal 9"));
    assert!(lines[1].starts_with("out of memory: peak 16777216 bytes, "), "{}", lines[1]);
    let ms = lines[3].strip_prefix("out of time: ").and_then(|rest| rest.strip_suffix(" ms"));
    let ms: u64 = ms.expect(lines[3]).parse().expect(lines[3]);
    assert!((200..30_000).contains(&ms), "{ms}");
}

#[test]
fn null_and_wrong_sizes_are_errors() {
    let Some(_turn) = fixture() else { return };
    let place = Place::new();
    assert_eq!(place.run(&place.compile("tests/null.c"), &[]), "ok\n");
}

#[test]
fn handles_keep_their_promises() {
    let Some(_turn) = fixture() else { return };
    let place = Place::new();
    assert_eq!(place.run(&place.compile("tests/handles.c"), &[]), "ok\n");
}

#[test]
fn other_programs_of_a_container_have_handles_of_their_own() {
    let Some(_turn) = fixture() else { return };
    let place = Place::new();
    assert_eq!(place.run(&place.compile("tests/exec.c"), &[]), "ok\n");
}

#[test]
fn a_host_that_reaps_everything_never_meets_our_processes() {
    let Some(_turn) = fixture() else { return };
    let place = Place::new();
    assert_eq!(place.run(&place.compile("tests/reaper.c"), &[]), "ok\n");
}

#[test]
fn loading_and_unloading_changes_nothing() {
    let Some(_turn) = fixture() else { return };
    let place = Place::new();
    let library = place.path("libctr.so.0");
    assert_eq!(place.run(&place.compile("tests/reload.c"), &[&library]), "ok\n");
}

#[test]
fn header_is_clean_in_every_dialect() {
    let Some(_turn) = fixture() else { return };
    let header = root().join("include/ctr.h");
    let dialects = [
        ("gcc", "c", "c99"),
        ("gcc", "c", "c11"),
        ("g++", "c++", "c++11"),
        ("clang", "c", "c99"),
        ("clang", "c", "c11"),
        ("clang++", "c++", "c++11"),
    ];
    for (compiler, language, standard) in dialects {
        let mut command = Command::new(compiler);
        command
            .args(["-x", language, &format!("-std={standard}"), "-fsyntax-only"])
            .args(["-Wall", "-Wextra", "-pedantic", "-Werror"])
            .arg(&header);
        done(&mut command);
    }
}

/// Functions that the header declares: `ctr_name(`, comments aside.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(root().join("include/ctr.h")).expect("the header");
    let comment = |line: &&str| !line.trim_start().starts_with(['*', '/']);
    let code: String = header.lines().filter(comment).collect();
    let before = code.split('(').map(str::trim_end);
    let names = before.filter_map(|before| before.rsplit([' ', '*']).next());
    names.filter(|name| name.starts_with("ctr_")).map(str::to_owned).collect()
}

#[test]
fn only_the_functions_of_the_header_are_exported() {
    let Some(_turn) = fixture() else { return };
    let library = library().join("libctr.so");
    let listing = done(Command::new("nm").args(["-D", "--defined-only"]).arg(library)).stdout;
    let listing = text(&listing);
    let exported: BTreeSet<String> =
        listing.lines().filter_map(|line| Some(line.split(' ').nth(2)?.to_owned())).collect();
    assert_eq!(exported, declared());
    assert!(exported.contains("ctr_run") && exported.len() > 20, "{exported:?}");
}

#[test]
fn library_has_its_soname() {
    let Some(_turn) = fixture() else { return };
    let dynamic = done(Command::new("readelf").arg("-d").arg(library().join("libctr.so")));
    assert!(text(&dynamic.stdout).contains("Library soname: [libctr.so.0]"));
}

/// The directories that `make install` lays out.
fn installed() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = library().join("installed-by-test");
        let variable = |name: &str, value: &Path| format!("{name}={}", value.display());
        done(
            Command::new("make")
                .args(["-f", "ffi/install.mk", "install-c"])
                .arg(variable("PREFIX", &prefix))
                .arg(variable("LIBRARY", library()))
                .current_dir(root()),
        );
        prefix
    })
}

/// The flags that pkg-config gives for the installed library.
fn flags(arguments: &[&str]) -> Vec<String> {
    let output = done(
        Command::new("pkg-config")
            .args(arguments)
            .args(["--cflags", "--libs", "libctr"])
            .env("PKG_CONFIG_PATH", installed().join("lib/pkgconfig")),
    );
    text(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

/// Flags that take our archive where a shared library would be preferred.
fn static_flags() -> Vec<String> {
    let ours = |flag: String| if flag == "-lctr" { "-l:libctr.a".to_owned() } else { flag };
    flags(&["--static"]).into_iter().map(ours).collect()
}

#[test]
fn pkg_config_file_names_version_and_no_linker_options() {
    let Some(_turn) = fixture() else { return };
    // It installs what was built beside that.
    if !as_root() {
        return;
    }
    let version = done(
        Command::new("pkg-config")
            .args(["--modversion", "libctr"])
            .env("PKG_CONFIG_PATH", installed().join("lib/pkgconfig")),
    );
    assert_eq!(text(&version.stdout).trim(), env!("CARGO_PKG_VERSION"));
    // cgo refuses them.
    assert!(!static_flags().iter().any(|flag| flag.starts_with("-Wl,")));
}

#[test]
fn pkg_config_links_dynamically_and_statically() {
    let Some(_turn) = fixture() else { return };
    // It installs what was built beside that.
    if !as_root() {
        return;
    }
    let place = Place::new();
    for (flags, is_dynamic) in [(flags(&[]), true), (static_flags(), false)] {
        let program = place.path("linked");
        let source = root().join("bindings/c/hello.c");
        done(Command::new("cc").arg(source).args(flags).arg("-o").arg(&program));
        let state = [place.path("run"), place.path("data")];
        let library = installed().join("lib");
        let printed = done(Command::new(&program).args(state).env("LD_LIBRARY_PATH", library));
        assert!(text(&printed.stdout).starts_with("hello from box\nexited 0\n"));
        let needed = done(Command::new("readelf").arg("-d").arg(&program));
        assert_eq!(text(&needed.stdout).contains("[libctr.so.0]"), is_dynamic);
    }
}

#[test]
fn archive_shows_its_functions_only_and_bears_another_rust_library() {
    let Some(_turn) = fixture() else { return };
    // It installs what was built beside that.
    if !as_root() {
        return;
    }
    let archive = installed().join("lib/libctr.a");
    let listing = done(Command::new("nm").args(["-g", "--defined-only"]).arg(archive)).stdout;
    let listing = text(&listing);
    let shown: BTreeSet<String> =
        listing.lines().filter_map(|line| Some(line.split(' ').nth(2)?.to_owned())).collect();
    assert_eq!(shown, declared());

    let place = Place::new();
    let (neighbour, program) = (place.path("libneighbour.a"), place.path("program"));
    let sources = root().join("bindings/c/tests");
    done(
        Command::new("rustc")
            .args(["--edition", "2024", "--crate-type", "staticlib", "-o"])
            .arg(&neighbour)
            .arg(sources.join("neighbour.rs")),
    );
    let (libraries, places): (Vec<String>, Vec<String>) =
        static_flags().into_iter().partition(|flag| flag.starts_with("-l"));
    // Whole, so that whatever the two define twice is met.
    let whole = ["-Wl,--whole-archive", "-l:libctr.a", "-l:libneighbour.a"];
    done(
        Command::new("cc")
            .arg(sources.join("neighbour.c"))
            .args(places)
            .arg("-L")
            .arg(place.0.path())
            .args(whole)
            .arg("-Wl,--no-whole-archive")
            .args(libraries.iter().filter(|library| *library != "-l:libctr.a"))
            .arg("-o")
            .arg(&program),
    );
    assert_eq!(place.run(&program, &[]), "ok\n");
}
