//! What an end could not remove is removed when the directories are opened.

use std::fs;
use std::path::Path;

use libctr::Outcome;
use libctr::spec::Writable;
use libctr_tests::{Fixture, PATIENCE, as_root, fixture};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

#[test]
fn removal_that_was_cut_short_is_finished_at_the_next_opening() {
    let Some(fixture) = fixture() else { return };
    for file in ["lock", "meta.json", "exit.json", "status.json"] {
        let mut spec = fixture.probe(&["say", "x"]);
        spec.remove = Some(false);
        // An upper layer is removed before.
        spec.writable = Some(Writable::Memory);
        let container = fixture.start(&spec);
        container.wait(None).expect("wait").expect("end");
        let directory = container.directory().to_owned();
        fs::remove_file(directory.join(file)).expect(file);
        drop(fixture.reopen());
        // Without process ids alone it is whole.
        assert_eq!(directory.exists(), file == "status.json", "{file}");
        if directory.exists() {
            fs::remove_file(directory.join("exit.json")).expect("record");
            drop(fixture.reopen());
            assert!(!directory.exists());
        }
    }
}

#[test]
fn groups_made_inside_are_removed_at_the_next_opening() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let container = fixture.start(&fixture.probe(&["forever"]));
    let groups = serde_json::to_value(container.info().expect("info").groups).expect("JSON");
    let v1 = groups["v1"].as_object().into_iter().flatten().map(|(_, path)| path);
    let paths: Vec<_> = v1.chain(groups.get("v2")).filter_map(|path| path.as_str()).collect();
    for path in &paths {
        fs::create_dir_all(Path::new(path).join("inner/most")).expect("group");
    }
    container.kill(9).expect("kill");
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!(exit.outcome, Outcome::Signaled);
    drop(fixture.reopen());
    assert!(!container.directory().exists());
    assert!(paths.iter().all(|path| !Path::new(path).exists()), "{paths:?}");
}

#[test]
fn upper_layer_that_cannot_be_removed_is_removed_later() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let mut spec = fixture.probe(&["forever"]);
    spec.writable = Some(Writable::Disk);
    let container = fixture.start(&spec);
    let upper = fixture.options().data.expect("given").join("upper").join(container.id());
    // Nothing on this file system is removed while something is mounted on it.
    let busy = upper.join("fs/busy/below");
    fs::create_dir_all(&busy).expect("directory");
    let none: Option<&str> = None;
    mount(Some("tmpfs"), &busy, Some("tmpfs"), MsFlags::empty(), none).expect("mount");
    container.kill(9).expect("kill");
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!(exit.outcome, Outcome::Signaled);
    assert!(upper.exists() && container.directory().exists());
    let moved = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let point = moved.lines().filter_map(|line| line.split(' ').nth(4));
    let point = point.filter(|point| point.contains(container.id())).last().expect("mount");
    umount2(point, MntFlags::MNT_DETACH).expect("umount");
    drop(fixture.reopen());
    assert!(!upper.exists() && !container.directory().exists());
}
