//! Another program comes into a container whose own processes are hostile:
//! they try to trace it, to read what it has open, and to write to what it
//! executes (CVE-2016-9962, CVE-2019-5736).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use libctr::spec::{ExecSpec, Landlock, RunSpec, UserNamespace};
use libctr::{Container, RunOptions, Stdio};
use libctr_tests::exec::{end, fixture, kinds, probe, try_exec};
use libctr_tests::{PATIENCE, probe_path};

/// How long the hostile program looks.
const LOOKS: Duration = Duration::from_millis(1500);

/// Starts a container whose program looks around, does `work` meanwhile, and
/// returns what it has found.
fn watched(
    spec: &RunSpec,
    start: impl Fn(&RunSpec) -> Container,
    work: impl Fn(&Container),
) -> Vec<String> {
    let container = start(spec);
    let mut out = BufReader::new(File::from(container.take_stream(1).expect("pipe")));
    let mut line = String::new();
    out.read_line(&mut line).expect("line");
    assert_eq!(line, "ready\n");
    let begun = Instant::now();
    while begun.elapsed() < LOOKS {
        work(&container);
    }
    let mut text = String::new();
    out.read_to_string(&mut text).expect("text");
    assert!(container.wait(Some(PATIENCE)).expect("wait").expect("end").success());
    text.lines().map(str::to_owned).collect()
}

/// A program that is looked for in so many places that its way there is long.
fn slow(words: &[&str]) -> ExecSpec {
    let mut spec = probe(words);
    spec.args[0] = "probe".into();
    let path: Vec<String> = (0..800).map(|number| format!("/nowhere{number}")).collect();
    spec.env.insert("PATH".into(), Some(format!("{}:/", path.join(":")).as_str().into()));
    spec
}

#[test]
fn joining_process_shows_nothing_and_cannot_be_traced() {
    let Some(fixture) = fixture() else { return };
    let looks = (LOOKS.as_millis() + 500).to_string();
    for mut spec in kinds(&fixture, &["spy", &looks]) {
        spec.security.capabilities.add = vec!["SYS_PTRACE".into(), "DAC_READ_SEARCH".into()];
        let directory = File::open(fixture.path()).expect("directory");
        let found = watched(
            &spec,
            |spec| fixture.start(spec),
            |container| {
                let exec = try_exec(container, &slow(&["uid"])).expect("exec");
                exec.wait(Some(PATIENCE)).expect("wait").expect("end");
            },
        );
        drop(directory);
        assert!(found.iter().any(|line| line == "seen"), "none was seen: {found:?}");
        // Where its user namespace is the host's, that capability looks into
        // every process (ptrace(2)); there is nothing to be seen but what the
        // program gets and its socket.
        let is_apart = spec.security.user_namespace != UserNamespace::Auto
            || !nix::unistd::geteuid().is_root();
        for line in &found {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            match what {
                "seen" => {}
                "caps" => {
                    // Never more than the program has.
                    let caps: Vec<u64> = rest
                        .split(' ')
                        .filter_map(|set| u64::from_str_radix(set, 16).ok())
                        .collect();
                    let most = 0xa804_25fb | (1 << 19) | (1 << 2);
                    let [inheritable, effective, bounding] = caps[..] else { continue };
                    assert_eq!(
                        (inheritable, effective & !most, bounding & !most),
                        (0, 0, 0),
                        "{line}"
                    );
                }
                "fd" if !is_apart => {
                    let plain = ["pipe:[", "socket:[", "error "];
                    assert!(plain.iter().any(|start| rest.starts_with(start)), "{line}");
                }
                _ if !is_apart => {}
                // ENOENT and ESRCH: it was a program or gone by then.
                "list" | "fd" | "root" | "cwd" | "exe" | "mem" | "environ" | "seize" => {
                    let refused = ["error 13", "error 1", "error 2", "error 3"];
                    assert!(refused.contains(&rest), "{line}");
                }
                _ => panic!("{line}"),
            }
        }
    }
}

#[test]
fn executed_files_are_the_containers_or_sealed() {
    let Some(fixture) = fixture() else { return };
    let host = fs::read(probe_path()).expect("probe");
    let looks = (LOOKS.as_millis() + 500).to_string();
    for spec in kinds(&fixture, &["grab", &looks]) {
        let mut link = probe(&[]);
        link.args = vec!["/proc/self/exe".into()];
        let script = fixture.path().join("script");
        fs::write(&script, "#!/proc/self/exe\n").expect("script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
        let mut spec = spec;
        // That wall alone would keep them from looking.
        spec.security.landlock = Landlock::Off;
        spec.mounts.push(libctr::spec::Mount::bind(&script, "/script"));
        let mut scripted = probe(&[]);
        scripted.args = vec!["/script".into()];
        let found = watched(
            &spec,
            |spec| fixture.start(spec),
            |container| {
                for program in [&link, &scripted, &probe(&["uid"])] {
                    let options = RunOptions { stdout: Stdio::Pipe, ..RunOptions::default() };
                    // Whether it is executed or not: the host's file it is not.
                    if let Ok(exec) = container.exec(program, options) {
                        exec.wait(Some(PATIENCE)).expect("wait").expect("end");
                    }
                }
            },
        );
        assert!(!found.is_empty());
        for line in &found {
            let is_memory = line.contains(" /memfd:libctr-helper");
            let is_probe = line.contains(" /probe ");
            assert!(is_memory || is_probe, "{line}");
            // The probe is a read-only bind, and busy; memory is sealed.
            let refused = line.ends_with(" error 26")
                || line.ends_with(" error 30")
                || line.ends_with(" error 13");
            assert!(refused || is_memory, "{line}");
        }
    }
    assert!(fs::read(probe_path()).expect("probe") == host, "the host's file was changed");
    // The image that the next start executes is whole.
    let container = fixture.start(&fixture.probe(&["forever"]));
    assert_eq!(libctr_tests::exec::ask(&container, &["uid"]), "0 0 0 0");
    end(&container);
}
