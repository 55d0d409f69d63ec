//! `ctrun ps` and `ctrun inspect`.

use crate::bench::Bench;

const HEAD: [&str; 6] = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"];

/// The cells of each line: columns are at least three spaces apart.
fn cells(text: &str) -> Vec<Vec<&str>> {
    let line = |line| str::split(line, "   ").map(str::trim).filter(|cell| !cell.is_empty());
    text.lines().map(|text| line(text).collect()).collect()
}

#[test]
fn list_of_nothing_is_its_head() {
    let bench = Bench::new();
    let text = bench.ctrun(&["ps"]).good();
    assert_eq!(text, "CONTAINER ID   IMAGE   COMMAND   CREATED   STATUS   NAMES\n");
    assert_eq!(bench.ctrun(&["ps", "--format", "json"]).good(), "[]\n");
    assert_eq!(bench.ctrun(&["ls", "-q"]).good(), "");
}

#[test]
fn list_shows_what_runs_and_with_a_what_has_ended() {
    let bench = Bench::new();
    bench.ctrun(&["run", "--name", "old", "host", "sh", "-c", "exit 3"]).bad(3);
    let id = bench.detached(&["--name", "new"], "sleep 60");
    let running = bench.ctrun(&["ps"]).good();
    let rows = cells(&running);
    assert_eq!(rows[0], HEAD);
    assert_eq!(rows.len(), 2, "{running}");
    assert_eq!(rows[1][..3], [&id[..12], "host", "\"sh -c sleep 60\""]);
    assert!(rows[1][3].ends_with(" ago") && rows[1][4].starts_with("Up "), "{running}");
    assert_eq!(rows[1][5], "new");

    let all = bench.ctrun(&["ps", "-a"]).good();
    let rows = cells(&all);
    assert_eq!(rows.iter().map(|row| row[5]).collect::<Vec<_>>(), ["NAMES", "new", "old"]);
    assert!(rows[2][4].starts_with("Exited (3) "), "{all}");
}

#[test]
fn ids_are_short_unless_told_otherwise() {
    let bench = Bench::new();
    let id = bench.detached(&[], "sleep 60; echo a long command that is cut");
    assert_eq!(bench.ctrun(&["ps", "-q"]).good(), format!("{}\n", &id[..12]));
    assert_eq!(bench.ctrun(&["ps", "-q", "--no-trunc"]).good(), format!("{id}\n"));
    let short = bench.ctrun(&["ps"]).good();
    assert!(short.contains("\"sh -c sleep 60; ech…\""), "{short}");
    let long = bench.ctrun(&["ps", "--no-trunc"]).good();
    assert!(long.contains("\"sh -c sleep 60; echo a long command that is cut\""), "{long}");
}

#[test]
fn filters_choose() {
    let bench = Bench::new();
    bench.ctrun(&["run", "--name", "old-db", "-l", "tier=db", "host", "true"]).good();
    bench.detached(&["--name", "web-1", "-l", "tier=web", "-l", "x"], "sleep 60");
    bench.detached(&["--name", "web-2", "-l", "tier=web"], "sleep 60");
    let names = |filters: &[&str]| {
        let mut arguments = vec!["ps", "--format", "json"];
        filters.iter().for_each(|filter| arguments.extend(["--filter", filter]));
        let list = bench.ctrun(&arguments).json();
        let list = list.as_array().expect("list").iter();
        list.map(|info| info["name"].as_str().expect("name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["name=web"]), ["web-2", "web-1"]);
    assert_eq!(names(&["name=web", "label=x"]), ["web-1"]);
    assert_eq!(names(&["label=tier=web"]), ["web-2", "web-1"]);
    assert_eq!(names(&["label=tier"]), ["web-2", "web-1"]);
    assert_eq!(names(&["status=exited"]), ["old-db"]);
    assert_eq!(names(&["status=exited", "status=running"]), ["web-2", "web-1", "old-db"]);
    assert_eq!(names(&["name=nosuch"]), [""; 0]);
    let text = bench.ctrun(&["ps", "-f", "colour=red"]).bad(125);
    assert!(text.contains("expected name=, id=, label= or status= and a value"), "{text}");
}

#[test]
fn inspect_shows_all_that_it_finds() {
    let bench = Bench::new();
    let id = bench.detached(&["--name", "one", "-h", "box"], "sleep 60");
    let ran = bench.ctrun(&["inspect", "one", "two"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (125, "ctrun: state: container \"two\" does not exist\n")
    );
    let list: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!((&list[0]["id"], &list[0]["hostname"]), (&id.as_str().into(), &"box".into()));
    assert_eq!(bench.ctrun(&["inspect", &id[..10]]).json(), list);
}
