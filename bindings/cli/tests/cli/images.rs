//! `ctrun image`.

use std::fs;

use std::process::Stdio;

use crate::bench::{Bench, Ran};
use crate::user::User;

/// What a program needs of the host in an image that has nothing.
const PROGRAMS: [&str; 8] =
    ["-v", "/usr:/usr:ro", "-v", "/bin:/bin:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"];

/// Imports an image with one file and a command; returns its id.
fn import(bench: &Bench, name: &str) -> String {
    let root = bench.path("root");
    fs::create_dir_all(&root).expect("root");
    fs::write(root.join("hello"), "from the image\n").expect("file");
    let path = root.to_str().expect("path");
    let options = ["--cmd", "[\"cat\", \"/hello\"]", "-e", "A=1", "--label", "b=c"];
    let id = bench.ctrun(&[&["image", "import", path, name], options.as_slice()].concat()).good();
    assert!(id.starts_with("sha256:") && id.len() == 72, "{id}");
    id.trim_end().to_owned()
}

#[test]
fn image_is_imported_listed_run_and_removed() {
    let bench = Bench::new();
    assert_eq!(
        bench.ctrun(&["image", "ls"]).good(),
        "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n"
    );
    let id = import(&bench, "hello:1");
    let list = bench.ctrun(&["image", "list"]).good();
    let row: Vec<_> = list.lines().nth(1).expect("row").split_whitespace().collect();
    assert_eq!(row[..3], ["hello", "1", &id[7..19]]);
    assert_eq!(bench.ctrun(&["image", "ls", "-q", "--no-trunc"]).good(), format!("{id}\n"));

    let run =
        |image: &str| bench.ctrun(&[&["run", "--rm"], PROGRAMS.as_slice(), &[image]].concat());
    assert_eq!(run("hello:1").good(), "from the image\n");
    assert_eq!(run(&id).good(), "from the image\n");

    assert_eq!(bench.ctrun(&["image", "tag", "hello:1", "other:2"]).good(), "");
    assert_eq!(
        bench.ctrun(&["image", "rm", "hello:1"]).good(),
        "Untagged: docker.io/library/hello:1\n"
    );
    assert_eq!(run("other:2").good(), "from the image\n");
    assert_eq!(
        bench.ctrun(&["image", "rm", "other:2"]).good(),
        format!("Untagged: docker.io/library/other:2\nDeleted: {id}\n")
    );
    let text = bench.ctrun(&["image", "rm", "other:2"]).bad(125);
    assert!(text.starts_with("ctrun: image: no image \"other:2\""), "{text}");
}

#[test]
fn image_is_saved_and_loaded() {
    let bench = Bench::new();
    let id = import(&bench, "hello:1");
    let file = bench.path("hello.tar");
    let path = file.to_str().expect("path");
    for archive in ["oci", "docker"] {
        let save = ["image", "save", "--archive", archive, "-o", path, "hello:1"];
        assert_eq!(bench.ctrun(&save).good(), "");
        bench.ctrun(&["image", "rm", "hello:1"]).good();
        assert_eq!(
            bench.ctrun(&["image", "load", "-i", path]).good(),
            "Loaded image: docker.io/library/hello:1\n"
        );
    }
    assert_eq!(bench.ctrun(&["image", "ls", "-q", "--no-trunc"]).good(), format!("{id}\n"));
    let text = bench.ctrun(&["image", "save", "-o", path, "nosuch"]).bad(125);
    assert!(text.starts_with("ctrun: image: no image \"nosuch\""), "{text}");
    // The old archive is as it was, and nothing lies beside it.
    assert!(fs::metadata(&file).expect("archive").len() > 1000);
    let beside = fs::read_dir(bench.path("")).expect("directory").flatten();
    let beside = beside.filter(|entry| entry.file_name().to_string_lossy().contains("partial"));
    assert_eq!(beside.count(), 0);
}

#[test]
fn image_passes_through_pipes() {
    let bench = Bench::new();
    import(&bench, "hello:1");
    let file = fs::File::create(bench.path("pipe.tar")).expect("file");
    let saved = bench.command(&["image", "save", "hello:1"]).stdout(file).status();
    assert!(saved.expect("ctrun").success());
    let file = fs::File::open(bench.path("pipe.tar")).expect("file");
    let mut load = bench.command(&["--format", "json", "image", "load", "--name", "again:3"]);
    let loaded = Ran::from(load.stdin(file).output().expect("ctrun")).json();
    let names = loaded[0]["names"].as_array().expect("names");
    assert!(names.contains(&"docker.io/library/again:3".into()), "{names:?}");
    let text = bench.feed("no archive", &["image", "load"]).bad(125);
    assert!(text.starts_with("ctrun: image: "), "{text}");
}

#[test]
fn inspect_shows_config_and_layers() {
    let bench = Bench::new();
    let id = import(&bench, "hello:1");
    let list = bench.ctrun(&["image", "inspect", "hello:1"]).json();
    assert_eq!(list[0]["id"], id.as_str());
    assert_eq!(list[0]["config"]["Cmd"], serde_json::json!(["cat", "/hello"]));
    assert_eq!(list[0]["config"]["Labels"], serde_json::json!({"b": "c"}));
    assert_eq!(list[0]["layer_details"].as_array().map(Vec::len), Some(1));
    let ran = bench.ctrun(&["image", "inspect", "nosuch"]);
    assert_eq!((ran.code, ran.out.as_str()), (125, "[]\n"));
    assert!(ran.err.starts_with("ctrun: image: no image \"nosuch\""), "{ran:?}");
}

#[test]
fn prune_keeps_what_a_container_needs() {
    let bench = Bench::new();
    import(&bench, "hello:1");
    let kept = [&["run", "--name", "kept"], PROGRAMS.as_slice(), &["hello:1"]].concat();
    assert_eq!(bench.ctrun(&kept).good(), "from the image\n");
    assert_eq!(bench.ctrun(&["image", "prune", "-a"]).good(), "Total reclaimed space: 0B\n");
    bench.ctrun(&["rm", "kept"]).good();
    assert_eq!(bench.ctrun(&["image", "prune"]).good(), "Total reclaimed space: 0B\n");
    let text = bench.ctrun(&["image", "prune", "-af"]).good();
    assert!(text.starts_with("Untagged: docker.io/library/hello:1\nDeleted: sha256:"), "{text}");
    assert_eq!(bench.ctrun(&["image", "ls", "-q"]).good(), "");
}

#[test]
fn progress_is_shown_on_a_terminal_only() {
    let bench = Bench::new();
    let root = bench.path("root");
    fs::create_dir(&root).expect("root");
    // Reports come once per MiB, and nothing here can be compressed away.
    let mut noise = fs::File::open("/dev/urandom").expect("noise");
    let mut file = fs::File::create(root.join("noise")).expect("file");
    std::io::copy(&mut std::io::Read::take(&mut noise, 8 << 20), &mut file).expect("copy");
    let path = root.to_str().expect("path");
    // Neither a pipe nor a program that reads JSON sees a bar.
    bench.ctrun(&["image", "import", path, "quiet:1"]).good();
    let mut user = User::new(24, 100);
    let mut command = bench.command(&["--format", "json", "image", "import", path, "quiet:2"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(user.stream());
    Ran::from(command.output().expect("ctrun")).json();
    let mut command = bench.command(&["image", "import", path, "loud:1"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(user.stream());
    assert!(Ran::from(command.output().expect("ctrun")).good().starts_with("sha256:"));
    let text = user.sees("MiB");
    assert!(text.contains("unpack ") && !text.contains("sha256"), "{text:?}");
}

/// A tar of one empty file, with the checksum that it needs.
fn tar(name: &[u8]) -> Vec<u8> {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    for (at, text) in [(100, "0000644"), (108, "0000000"), (116, "0000000"), (148, "        ")] {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    block[124..147].copy_from_slice(b"00000000000\x0000000000000");
    block[156] = b'0';
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    [&block[..], &[0; 1024]].concat()
}

#[test]
fn hostile_archive_is_refused_in_a_plain_line() {
    let bench = Bench::new();
    let file = bench.path("hostile.tar");
    let path = file.to_str().expect("path");
    for (name, text) in [
        (
            &b"../../etc/passwd"[..],
            "the layer has the path \"../../etc/passwd\", with \"..\" in it",
        ),
        (b"\x1b[31m/../red", "the layer has the path \"\\u{1b}[31m/../red\", with \"..\" in it"),
        (b".wh..", "the layer has a whiteout of \".\" in \"\""),
    ] {
        fs::write(&file, tar(name)).expect("archive");
        let said = bench.ctrun(&["image", "import", path, "hostile:1"]).bad(125);
        assert_eq!(said, format!("ctrun: image: {text}\n"));
    }
    let said = bench.ctrun(&["image", "load", "-i", path]).bad(125);
    assert!(said.starts_with("ctrun: image: this is no image archive"), "{said}");
    assert_eq!(bench.ctrun(&["image", "ls", "-q"]).good(), "");
}
