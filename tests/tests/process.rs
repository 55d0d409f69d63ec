//! Step `process`: which program, with which arguments and environment, as whom.

use libctr_tests::fixture;

#[test]
fn program_runs_as_root_by_default() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(fixture.ask(&["uid", ",", "gid"]), "0 0 0 0\n0 0 0 0");
}
