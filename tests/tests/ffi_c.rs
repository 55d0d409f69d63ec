//! The C interface as C programs meet it: the header in every dialect, the
//! library's symbols and name, and the programs of `bindings/c`, which are
//! compiled here and run against the library.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs};

use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The directory with `libctr.so` and `libctr.a`, built as the tests were.
fn library() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let test = env::current_exe().expect("the path of this test");
        let directory = test.ancestors().nth(2).expect("the profile's directory").to_owned();
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
    let place = Place::new();
    assert_eq!(place.run(&place.compile("tests/null.c"), &[]), "ok\n");
}

#[test]
fn handles_keep_their_promises() {
    let place = Place::new();
    assert_eq!(place.run(&place.compile("tests/handles.c"), &[]), "ok\n");
}

#[test]
fn a_host_that_reaps_everything_never_meets_our_processes() {
    let place = Place::new();
    assert_eq!(place.run(&place.compile("tests/reaper.c"), &[]), "ok\n");
}

#[test]
fn loading_and_unloading_changes_nothing() {
    let place = Place::new();
    let library = place.path("libctr.so.0");
    assert_eq!(place.run(&place.compile("tests/reload.c"), &[&library]), "ok\n");
}

#[test]
fn header_is_clean_in_every_dialect() {
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
    let dynamic = done(Command::new("readelf").arg("-d").arg(library().join("libctr.so")));
    assert!(text(&dynamic.stdout).contains("Library soname: [libctr.so.0]"));
}

/// The directories that `make install` lays out, the pkg-config file included.
fn installed(place: &Place) -> PathBuf {
    let prefix = place.path("prefix");
    fs::create_dir_all(prefix.join("lib/pkgconfig")).expect("a directory");
    fs::create_dir_all(prefix.join("include")).expect("a directory");
    fs::copy(root().join("include/ctr.h"), prefix.join("include/ctr.h")).expect("a copy");
    for (source, name) in
        [("libctr.so", "libctr.so"), ("libctr.so", "libctr.so.0"), ("libctr.a", "libctr.a")]
    {
        let link = prefix.join("lib").join(name);
        std::os::unix::fs::symlink(library().join(source), link).expect("a link");
    }
    let template = fs::read_to_string(root().join("ffi/libctr.pc.in")).expect("the template");
    let file = template
        .replace("@PREFIX@", prefix.to_str().expect("UTF-8"))
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    assert!(!file.contains('@') && !file.contains("-Wl,"), "{file}");
    fs::write(prefix.join("lib/pkgconfig/libctr.pc"), file).expect("a file");
    prefix
}

#[test]
fn pkg_config_links_dynamically_and_statically() {
    let place = Place::new();
    let prefix = installed(&place);
    for (arguments, program) in [(vec![], "dynamic"), (vec!["--static"], "static")] {
        let output = done(
            Command::new("pkg-config")
                .args(&arguments)
                .args(["--cflags", "--libs", "libctr"])
                .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")),
        );
        let mut flags = text(&output.stdout);
        if !arguments.is_empty() {
            flags = flags.replace("-lctr", "-l:libctr.a");
        }
        let program = place.path(program);
        done(
            Command::new("cc")
                .arg(root().join("bindings/c/hello.c"))
                .args(flags.split_whitespace())
                .arg("-o")
                .arg(&program),
        );
        let state = [place.path("run"), place.path("data")];
        let printed =
            done(Command::new(&program).args(state).env("LD_LIBRARY_PATH", prefix.join("lib")));
        assert!(text(&printed.stdout).starts_with("hello from box\nexited 0\n"));
        let needed = done(Command::new("readelf").arg("-d").arg(&program));
        assert_eq!(text(&needed.stdout).contains("libctr.so.0"), arguments.is_empty());
    }
}
