//! Images of an ordinary user: owners as in the archive where he has
//! subordinate ids, squashed where he has none; never a device.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use libctr::RootMount;
use libctr::image::{ImportOptions, Source};
use libctr::spec::{RunSpec, Writable};
use libctr_tests::{Fixture, below, in_vm, own_ids, subordinate, user_fixture};

/// An archive with all that an ordinary user has trouble with.
const ARCHIVE: &str = r#"
import io, sys, tarfile
out = tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT)
def add(name, kind, mode, uid, gid, data=b"", link="", headers={}):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.linkname = kind, mode, uid, gid, link
    info.size, info.mtime, info.pax_headers = len(data), 1000000000, headers
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE): info.devmajor, info.devminor = 1, 3
    out.addfile(info, io.BytesIO(data))
add("web", tarfile.REGTYPE, 0o640, 33, 44, b"web")
add("setuid", tarfile.REGTYPE, 0o4755, 0, 0, b"s")
add("setgid", tarfile.REGTYPE, 0o2755, 33, 44, b"s")
add("link", tarfile.SYMTYPE, 0o777, 5, 6, link="web")
add("hard", tarfile.LNKTYPE, 0o640, 33, 44, link="web")
add("fifo", tarfile.FIFOTYPE, 0o622, 7, 8)
add("closed", tarfile.DIRTYPE, 0, 9, 10)
add("closed/file", tarfile.REGTYPE, 0, 11, 12, b"f")
add("sticky", tarfile.DIRTYPE, 0o1777, 65536, 65536)
add("null", tarfile.CHRTYPE, 0o666, 0, 0)
add("disk", tarfile.BLKTYPE, 0o660, 0, 6)
capability = bytes.fromhex("0100000200040000000000000000000000000000").decode("latin1")
add("ping", tarfile.REGTYPE, 0o755, 33, 0, b"p", headers={"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.note": "kept"})
out.close()
"#;

fn python(script: &str, argument: &Path) -> String {
    let output =
        Command::new("python3").args(["-c", script]).arg(argument).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn imported(fixture: &Fixture) -> PathBuf {
    let archive = fixture.path().join("archive.tar");
    python(ARCHIVE, &archive);
    let images = fixture.runtime().images().expect("store");
    let source = Source::Path(archive);
    images.import(source, Some("owned"), &ImportOptions::default()).expect("import");
    let layers = fs::read_dir(fixture.path().join("data/layers")).expect("layers");
    let layers: Vec<PathBuf> = layers.flatten().map(|entry| entry.path()).collect();
    assert_eq!(layers.len(), 1, "{layers:?}");
    layers[0].join("fs")
}

fn in_image(fixture: &Fixture, words: &[&str]) -> RunSpec {
    RunSpec { image: Some("owned".into()), ..fixture.probe(words) }
}

#[test]
fn image_has_its_owners_or_all_are_root_without_subordinate_ids() {
    let Some(fixture) = user_fixture() else { return };
    let layer = imported(&fixture);
    let whole = [
        ("/web", "file 3 640", "33 44"),
        ("/setuid", "file 1 4755", "0 0"),
        ("/setgid", "file 1 2755", "33 44"),
        ("/link", "link 777", "5 6"),
        ("/hard", "file 3 640", "33 44"),
        ("/fifo", "file 0 622", "7 8"),
        ("/closed", "directory 0", "9 10"),
        ("/closed/file", "file 1 0", "11 12"),
        ("/sticky", "directory 1777", "65536 65536"),
        ("/ping", "file 1 755", "33 0"),
    ];
    for (path, kind, owner) in whole {
        let owner = if subordinate().is_some() { owner } else { "0 0" };
        assert_eq!(fixture.answer(&in_image(&fixture, &["stat", path])), format!("{kind} {owner}"));
    }
    // Devices are not there.
    for path in ["/null", "/disk"] {
        assert_eq!(fixture.answer(&in_image(&fixture, &["stat", path])), "error 2");
    }
    // A capability of a user namespace names its root, who is the user.
    let script = "import os, sys; path = sys.argv[1]; \
                  print(os.getxattr(path, 'user.note').decode(), \
                  os.getxattr(path, 'security.capability').hex() if \
                  'security.capability' in os.listxattr(path) else 'none')";
    let found = python(script, &layer.join("ping"));
    let [uid, _] = own_ids();
    let root: String = uid.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    match subordinate() {
        Some(_) => {
            assert_eq!(found, format!("kept 0100000300040000000000000000000000000000{root}"));
            let [(uids, _), (gids, _)] = subordinate().expect("ids");
            let web = fs::symlink_metadata(layer.join("web")).expect("file");
            assert_eq!((web.uid(), web.gid()), (uids + 32, gids + 43));
        }
        None => assert!(found.starts_with("kept "), "{found}"),
    }
}

#[test]
fn layers_are_the_same_after_runs_and_go_with_their_images() {
    let Some(fixture) = user_fixture() else { return };
    let layer = imported(&fixture);
    let owners = || {
        let mut found: Vec<_> = below(&layer)
            .into_iter()
            .map(|path| {
                let file = fs::symlink_metadata(&path).expect("metadata");
                (path, file.uid(), file.gid(), file.mode(), file.ctime(), file.ctime_nsec())
            })
            .collect();
        found.sort();
        found
    };
    let before = owners();
    assert!(before.len() > 8);
    for writable in [Writable::Memory, Writable::Disk] {
        let mut spec = in_image(
            &fixture,
            &["write", "/web", "+", ",", "read", "/web", ",", "remove", "/setuid"],
        );
        spec.writable = Some(writable);
        assert_eq!(fixture.answer(&spec), "web+");
    }
    let container = fixture.start(&in_image(&fixture, &["line"]));
    assert_eq!(container.info().expect("info").root, RootMount::Overlay);
    assert_eq!(owners(), before);
    let images = fixture.runtime().images().expect("store");
    drop(container.take_stream(0));
    assert!(container.wait(None).expect("wait").is_some_and(|exit| exit.success()));
    images.remove("owned", false, &|_| false).expect("remove");
    assert_eq!(fs::read_dir(fixture.path().join("data/layers")).expect("layers").count(), 0);
}

/// Name, kind, mode, owner, links and attributes of all files.
const LIST: &str = r#"
import os, sys
top = sys.argv[1]
for here, dirs, files in os.walk(top):
    for name in sorted(dirs + files):
        path = os.path.join(here, name)
        s = os.lstat(path)
        xattrs = [(n, os.getxattr(path, n, follow_symlinks=False)) for n in sorted(os.listxattr(path, follow_symlinks=False)) if 'overlay' not in n]
        print(os.path.relpath(path, top), oct(s.st_mode), s.st_uid, s.st_gid, s.st_size if not os.path.isdir(path) else '', s.st_nlink if not os.path.isdir(path) else '', int(s.st_mtime), xattrs)
"#;

#[test]
fn image_is_what_podman_and_tar_make_of_it() {
    let Some(fixture) = user_fixture().filter(|_| subordinate().is_some()) else { return };
    // There is no podman where the machine is emulated.
    if in_vm() {
        return;
    }
    let layer = imported(&fixture);
    let plain = fixture.directory("plain");
    let script = "tar --numeric-owner --xattrs --xattrs-include='*' -xpf \"$1\" -C \"$2\" \
                  --exclude=null --exclude=disk && python3 -c \"$4\" \"$2\" && echo -- && \
                  python3 -c \"$4\" \"$3\" && rm -rf \"$2\"";
    let output = Command::new("podman")
        .args(["unshare", "sh", "-c", script, "sh"])
        .arg(fixture.path().join("archive.tar"))
        .args([&plain, &layer])
        .arg(LIST)
        .env("XDG_DATA_HOME", fixture.directory("podman"))
        .output()
        .expect("podman");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let (theirs, ours) = stdout.split_once("--\n").expect("two lists");
    assert!(theirs.lines().count() >= 10, "{theirs}");
    assert_eq!(theirs, ours);
}
