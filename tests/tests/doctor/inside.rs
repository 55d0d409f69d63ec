//! The doctor inside containers: libctr's own, with every default.

use libctr::spec::{Mount, RunSpec};
use libctr_tests::Fixture;

use crate::report::{Place, Report};
use crate::root_fixture;

/// A container of the host's root with the doctor in it.
fn container(fixture: &Fixture, place: &Place) -> RunSpec {
    let words = ["/doctor", "/tmp/run", "/tmp/data", "/program"];
    let mut spec = RunSpec { args: words.map(Into::into).into(), ..RunSpec::default() };
    let (name, mark) = fixture.mark();
    spec.env.insert(name, Some(mark.as_str().into()));
    for (file, target) in [("doctor", "/doctor"), ("program", "/program")] {
        spec.mounts.push(Mount::bind(place.path(file), target));
    }
    spec
}

fn report(fixture: &Fixture, spec: &RunSpec) -> Report {
    let text = fixture.answer(spec);
    Report(serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))).agrees()
}

#[test]
fn default_container_of_root_has_no_namespaces_and_says_why() {
    let Some(fixture) = root_fixture() else { return };
    let place = Place::new();
    let report = report(&fixture, &container(&fixture, &place));
    assert_eq!(report.of("helper").0, "ok");
    let (state, detail) = report.of("namespace.user");
    assert_eq!(state, "missing");
    assert!(detail.contains("a filter of system calls"), "{detail}");
    assert_eq!(report.of("seccomp.filter").0, "ok");
    assert_eq!(report.of("directory.run").0, "ok");
    assert!(["degraded_only", "nothing"].contains(&report.level()));
}

#[test]
fn default_container_of_another_user_says_the_same() {
    let Some(fixture) = root_fixture() else { return };
    let place = Place::new();
    let mut spec = container(&fixture, &place);
    spec.user = Some("1000:1000".into());
    let report = report(&fixture, &spec);
    assert_eq!(report.of("namespace.user").0, "missing");
    assert!(["degraded_only", "nothing"].contains(&report.level()));
}

#[test]
fn container_without_filter_has_user_namespaces_and_no_new_proc() {
    let Some(fixture) = root_fixture() else { return };
    let place = Place::new();
    let mut spec = container(&fixture, &place);
    spec.security.seccomp = libctr::spec::Seccomp::Unconfined;
    let report = report(&fixture, &spec);
    assert_eq!(report.of("namespace.user").0, "ok", "{:?}", report.of("namespace.user"));
    let (state, detail) = report.of("mount.proc");
    assert_eq!(state, "missing");
    assert!(detail.contains(" is covered, as in a container"), "{detail}");
}
