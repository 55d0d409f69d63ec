//! `ctrun run --device`.

use crate::bench::Bench;

/// The kernel's log needs a capability to be read.
const LOG: &str = "if (: </dev/log) 2>/dev/null; then echo readable; fi
    if (: >/dev/log) 2>/dev/null; then echo writable; fi";

#[test]
fn device_is_given_as_far_as_it_says() {
    let Some(bench) = Bench::of_root() else { return };
    let run = |device: &str| {
        let words = ["run", "--rm", "--cap-add", "SYSLOG", "--device", device];
        bench.ctrun(&[&words[..], &["host", "sh", "-c", LOG]].concat()).good()
    };
    assert_eq!(bench.ctrun(&["run", "--rm", "host", "test", "-e", "/dev/log"]).code, 1);
    assert_eq!(run("/dev/kmsg:/dev/log"), "readable\nwritable\n");
    assert_eq!(run("/dev/kmsg:/dev/log:rw"), "readable\nwritable\n");
    assert_eq!(run("/dev/kmsg:/dev/log:r"), "readable\n");
    assert_eq!(run("/dev/kmsg:/dev/log:w"), "writable\n");
    // More than one, at the same path inside.
    let words = ["run", "--rm", "--device", "/dev/kmsg:w", "--device=/dev/full", "host"];
    let script = "(: >/dev/kmsg) 2>/dev/null && stat -c %n:%t:%T:%F /dev/kmsg";
    let ran = bench.ctrun(&[&words[..], &["sh", "-c", script]].concat());
    assert_eq!(ran.good(), "/dev/kmsg:1:b:character special file\n");
}

#[test]
fn what_is_no_device_is_refused() {
    let bench = Bench::new();
    let run =
        |device: &str| bench.ctrun(&["run", "--rm", "--device", device, "host", "true"]).bad(125);
    let text = run("/dev/none");
    assert!(text.contains("filesystem: devices[0].path: stat(\"/dev/none\"): ENOENT"), "{text}");
    let text = run("/etc/passwd");
    assert!(text.contains("devices[0].path: \"/etc/passwd\" is no device"), "{text}");
    let text = run("/dev/null:nought");
    assert!(text.contains("devices[0].container_path: expected an absolute path"), "{text}");
    let text = run("/dev/null:/dev/nought:rx");
    assert!(text.contains("expected some of the letters r, w and m, found \"rx\""), "{text}");
    let text = run("/a:/b:r:w");
    assert!(text.contains("expected HOST[:CONTAINER][:rwm]"), "{text}");
}
