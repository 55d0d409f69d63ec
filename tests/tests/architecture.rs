//! The shape of the tree, kept true: which module of the core may name which,
//! where `unsafe` may stand, and what the embedded program may not contain.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module of `core/src` may name with `crate::`, besides `error`.
const MAY_USE: [(&str, &[&str]); 19] = [
    ("error", &[]),
    ("sys", &[]),
    ("proc", &["sys"]),
    ("tree", &["sys"]),
    ("spec", &[]),
    ("image", &["sys", "tree", "userns"]),
    ("sandbox", &["proc", "sys", "tree", "userns"]),
    ("process", &["spec", "sys"]),
    ("cgroup", &["proc", "sys", "wait"]),
    ("wait", &[]),
    ("state", &["cgroup", "spec", "sys", "tree", "userns", "wait"]),
    ("helper", &["sys"]),
    ("userns", &["helper", "spec", "sys", "tree", "wait"]),
    (
        "launch",
        &[
            "cgroup",
            "container",
            "helper",
            "image",
            "proc",
            "process",
            "runtime",
            "sandbox",
            "spec",
            "state",
            "sys",
            "userns",
            "wait",
        ],
    ),
    ("container", &["cgroup", "helper", "launch", "runtime", "spec", "state", "sys", "wait"]),
    ("probe", &["cgroup", "helper", "proc", "runtime", "spec", "state", "sys", "userns", "wait"]),
    ("runtime", &["container", "image", "launch", "spec", "state"]),
    ("fuzzing", &["cgroup", "image", "launch", "process"]),
    ("lib", &["container", "error", "launch", "probe", "runtime", "wait"]),
];

/// Re-exports of the crate's root that every module may use.
const ROOT: [&str; 6] = ["Error", "ErrorKind", "Result", "Stage", "error", "Stdio"];

/// Files that may contain `unsafe`.
const UNSAFE: [&str; 4] =
    ["core/src/sys", "core/src/helper/spawn.rs", "core/helper/src/sys", "ffi/src/"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Names after `crate::` in code; a group `{a, b}` gives each.
fn named(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for part in line.split("crate::").skip(1) {
            let first = |text: &str| -> String {
                text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
            };
            match part.strip_prefix('{') {
                Some(group) => {
                    let group = group.split('}').next().unwrap_or_default();
                    names.extend(group.split(',').map(|item| first(item.trim())));
                }
                None => drop(names.insert(first(part))),
            }
        }
    }
    names.remove("");
    names
}

#[test]
fn modules_of_the_core_name_only_what_is_below_them() {
    let core = root().join("core/src");
    let mut files = Vec::new();
    sources(&core, &mut files);
    assert!(files.len() > 40, "the walk found {} files", files.len());
    for file in files {
        let relative = file.strip_prefix(&core).expect("below core/src");
        let top = relative.iter().next().and_then(|name| name.to_str()).expect("a name");
        let module = top.trim_end_matches(".rs");
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} is missing in the table"));
        for name in named(&fs::read_to_string(&file).expect("a source file")) {
            let fine =
                name == module || ROOT.contains(&name.as_str()) || allowed.contains(&name.as_str());
            assert!(fine, "{} names crate::{name}", relative.display());
        }
    }
}

#[test]
fn names_after_crate_are_found() {
    let text = "use crate::cgroup::{Limits};\nuse crate::{wait, sys};\n// crate::comment\nlet x = crate::state::f(crate::spec::g());";
    let names: Vec<_> = named(text).into_iter().collect();
    assert_eq!(names, ["cgroup", "spec", "state", "sys", "wait"]);
}

#[test]
fn unsafe_stands_only_where_the_style_allows_it() {
    let root = root();
    let mut files = Vec::new();
    for part in ["core", "ffi", "bindings", "python"] {
        sources(&root.join(part), &mut files);
    }
    let mut seen = 0;
    for file in files {
        let relative =
            file.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).expect("a source file");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let uses = code.filter(|line| {
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                .iter()
                .any(|word| line.contains(word))
        });
        let uses = uses.count();
        seen += uses;
        // The panic handler calls the symbol that nothing defines.
        let allowed = relative == "core/helper/src/main.rs"
            || UNSAFE.iter().any(|place| relative.starts_with(place));
        assert!(uses == 0 || allowed, "{relative} uses unsafe");
    }
    assert!(seen > 10, "the search found {seen} uses");
}

#[test]
fn source_files_keep_to_their_budget() {
    let root = root();
    let mut files = Vec::new();
    for part in ["core", "ffi", "bindings", "python", "tests"] {
        sources(&root.join(part), &mut files);
    }
    for file in files {
        let lines = fs::read_to_string(&file).expect("a source file").lines().count();
        assert!(lines <= 420, "{} has {lines} lines: find the missing noun", file.display());
    }
}

/// Tests that a file has: `fn` lines after an attribute that ends in `test]`.
fn tests_of(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("fn ") {
            let name = rest.split('(').next().unwrap_or_default();
            if is_test {
                found.insert(name.to_owned());
            }
            is_test = false;
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        }
    }
    found
}

/// `file::name` in code, each with the file that it means.
fn references(document: &str) -> BTreeSet<(PathBuf, String)> {
    let code = document.split('`').skip(1).step_by(2);
    let pairs = code.filter_map(|code| code.split_once("::"));
    let file = |name: &str| match name.contains('/') {
        true => root().join(name),
        false => {
            let tests = root().join("tests/tests");
            let folder = tests.join(name).join("main.rs");
            if folder.exists() { folder } else { tests.join(format!("{name}.rs")) }
        }
    };
    pairs.map(|(place, name)| (file(place), name.to_owned())).collect()
}

#[test]
fn tests_that_the_security_document_names_exist() {
    let document = fs::read_to_string(root().join("docs/security.md")).expect("the document");
    let references = references(&document);
    assert!(references.len() > 80, "{} tests are named", references.len());
    for (file, name) in &references {
        assert!(tests_of(file).contains(name), "{} has no test {name}", file.display());
    }
}

#[test]
fn tests_of_escapes_are_named_in_the_security_document() {
    let document = fs::read_to_string(root().join("docs/security.md")).expect("the document");
    let references = references(&document);
    let mut seen = 0;
    for entry in fs::read_dir(root().join("tests/tests")).expect("the tests").flatten() {
        if !entry.file_name().to_string_lossy().starts_with("escape_") {
            continue;
        }
        for name in tests_of(&entry.path()) {
            seen += 1;
            assert!(references.contains(&(entry.path(), name.clone())), "{name} is not named");
        }
    }
    assert!(seen > 50, "{seen} tests of escapes");
}

#[test]
fn references_to_tests_that_do_not_exist_are_found() {
    let found = references("a `b::c` and `core/src/d.rs::e`, `no` test");
    let names: Vec<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["e", "c"]);
    let own = tests_of(&root().join("tests/tests/architecture.rs"));
    assert!(own.contains("references_to_tests_that_do_not_exist_are_found"));
    assert!(!own.contains("references") && !own.contains("c"));
}
