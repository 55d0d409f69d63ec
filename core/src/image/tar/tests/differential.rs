//! What GNU tar and Python see in an archive, compared with what is seen here:
//! an archive that is accepted has the same entries for all three.

use std::path::Path;
use std::process::{Command, Stdio};

use super::read;
use crate::image::tests::forge::Tar;

const PYTHON: &str = r"
import sys, tarfile
for path in sys.stdin.read().split():
    names = []
    try:
        with tarfile.open(path, 'r:') as archive:
            for entry in archive:
                name = entry.name.encode('utf-8', 'surrogateescape')
                names.append(name.hex() + ':' + str(entry.size if entry.isreg() else 0))
    except Exception as error:
        names = ['!', str(error)]
    print(' '.join(names))
";

/// Whether both programs are there; otherwise a printed skip.
#[expect(clippy::print_stderr, reason = "a skip must be seen in the test's output")]
fn tools() -> bool {
    let missing: Vec<&str> = ["tar", "python3"]
        .into_iter()
        .filter(|tool| {
            let mut command = Command::new(tool);
            command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_err()
        })
        .collect();
    if !missing.is_empty() {
        let required = std::env::var_os("LIBCTR_TEST_REQUIRE").is_some();
        assert!(!required, "skip not accepted: {missing:?} missing");
        eprintln!("skipped: {missing:?} missing");
    }
    missing.is_empty()
}

fn run(command: &mut Command, input: &[u8]) -> (bool, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

type Entries = Vec<(Vec<u8>, u64)>;

/// Names and sizes as Python has them, `None` where it refuses.
fn python(paths: &[String]) -> Vec<Option<Entries>> {
    let (good, text) =
        run(Command::new("python3").args(["-c", PYTHON]), paths.join("\n").as_bytes());
    assert!(good, "{text}");
    let entry = |word: &str| {
        let (hex, size) = word.split_once(':').unwrap();
        let bytes = (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16));
        let size: i64 = size.parse().unwrap();
        (bytes.collect::<Result<Vec<u8>, _>>().unwrap(), size.cast_unsigned())
    };
    let line =
        |line: &str| (!line.starts_with('!')).then(|| line.split_whitespace().map(entry).collect());
    text.lines().map(line).collect()
}

/// Names as GNU tar lists them, `None` where it refuses.
fn gnu(path: &str) -> Option<Vec<String>> {
    let mut command = Command::new("tar");
    command.args(["--list", "--quoting-style=escape", "-P", "-f", path]).env("LC_ALL", "C");
    let (good, text) = run(&mut command, b"");
    good.then(|| text.lines().map(|line| line.trim_end_matches('/').to_owned()).collect())
}

/// A name as GNU tar quotes it in a list.
fn quoted(name: &[u8]) -> String {
    let mut text = String::new();
    for byte in name {
        match byte {
            b'\\' => text += "\\\\",
            b'\n' => text += "\\n",
            b'\t' => text += "\\t",
            b'\r' => text += "\\r",
            7 => text += "\\a",
            8 => text += "\\b",
            11 => text += "\\v",
            12 => text += "\\f",
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text += &format!("\\{byte:03o}"),
        }
    }
    text.trim_end_matches('/').to_owned()
}

/// Compares all that are accepted; how many those were.
fn compare(archives: &[Vec<u8>]) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = |n: usize| dir.path().join(format!("{n}.tar")).display().to_string();
    let paths: Vec<String> = (0..archives.len()).map(path).collect();
    for (path, bytes) in paths.iter().zip(archives) {
        std::fs::write(Path::new(path), bytes).unwrap();
    }
    let mut accepted = 0;
    for ((path, bytes), theirs) in paths.iter().zip(archives).zip(python(&paths)) {
        let Ok(ours) = read(bytes) else { continue };
        accepted += 1;
        let keep = || std::fs::copy(path, std::env::temp_dir().join("libctr-differs.tar"));
        let names: Vec<String> = ours.iter().map(|(entry, _)| quoted(&entry.path)).collect();
        let listed = gnu(path);
        if listed.as_ref() != Some(&names) {
            panic!("GNU tar: {listed:?}, here {names:?}: {:?}", keep());
        }
        let plain = |name: &[u8]| String::from_utf8_lossy(name).trim_end_matches('/').to_owned();
        let ours: Vec<_> = ours.iter().map(|(entry, _)| (plain(&entry.path), entry.size)).collect();
        // Python refuses a global header at the end; that is no other list.
        let Some(theirs) = theirs else { continue };
        let theirs: Vec<_> = theirs.iter().map(|(name, size)| (plain(name), *size)).collect();
        if theirs != ours {
            panic!("Python: {theirs:?}, here {ours:?}: {:?}", keep());
        }
    }
    accepted
}

fn inner() -> Vec<u8> {
    Tar::new().file("hidden", b"").file("etc/passwd", b"root").end()
}

/// Archives that have been read in two ways.
fn disputed() -> Vec<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path("outer").unwrap();
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let with = |size: u64, change: &dyn Fn(&mut tar::Header)| {
        let mut header = header.clone();
        header.set_size(size);
        change(&mut header);
        header
    };
    let length = u64::try_from(inner().len()).unwrap();
    let size = length.to_string();
    let pax = |records: &[(&str, &[u8])], header| {
        Tar::new().pax(records).header(header, &inner()).file("after", b"").end()
    };
    let field = |text: &'static [u8; 12]| {
        move |header: &mut tar::Header| {
            header.as_old_mut().size = *text;
        }
    };
    vec![
        // CVE-2025-62518: the record says N, the header 0, the data is a tar.
        pax(&[("size", size.as_bytes())], with(0, &|_| ())),
        pax(&[("size", size.as_bytes())], with(length, &|_| ())),
        // And the other way round.
        pax(&[("size", b"0")], with(length, &|_| ())),
        pax(&[("size", b"512")], with(length, &|_| ())),
        pax(&[("size", b"")], with(length, &|_| ())),
        pax(&[("size", b"-1")], with(length, &|_| ())),
        // Sizes that are cut, signed or spelled out.
        pax(&[], with(0, &field(b"+0000000000\0"))),
        pax(&[], with(0, &field(b"-0000000001\0"))),
        pax(&[], with(0, &field(b"\0\x30\x30\x30\x30\x35\x30\x30\x30\0\0\0"))),
        pax(&[], with(0, &field(b"\x80\0\0\x01\0\0\0\0\0\0\x02\0"))),
        pax(&[], with(0, &field(b"\x80\0\0\0\0\0\0\0\0\0\x0a\0"))),
        pax(&[], with(0, &field(b"\x81\0\0\0\0\0\0\0\0\0\x0a\0"))),
        pax(&[], with(0, &field(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))),
        pax(&[], with(0, &field(b"            "))),
        pax(&[], with(0, &field(b"0x000005000\0"))),
        pax(&[], with(0, &field(b"00000 05000\0"))),
        pax(&[], with(length, &|header| header.set_entry_type(tar::EntryType::Directory))),
        pax(&[], with(length, &|header| header.set_entry_type(tar::EntryType::Symlink))),
        pax(&[], with(length, &|header| header.set_entry_type(tar::EntryType::Link))),
        pax(&[("path", b"other\0name")], with(length, &|_| ())),
        pax(&[("path", b"a"), ("path", b"b")], with(length, &|_| ())),
        pax(&[("path", b"dir/")], with(0, &|_| ())),
        Tar::new().entry(b'x', "x", "", 0, b"5 a=b\n").file("x", b"").end(),
        Tar::new().entry(b'x', "x", "", 0, b"99 path=y\n").file("x", b"").end(),
        Tar::new().entry(b'L', "L", "", 0, b"long\0er").file("x", b"").end(),
        Tar::new()
            .entry(b'L', "L", "", 0, b"one")
            .entry(b'L', "L", "", 0, b"two")
            .file("x", b"")
            .end(),
        Tar::new().entry(b'V', "label", "", 0, &inner()).file("x", b"").end(),
        [inner(), inner()].concat(),
        [inner(), vec![7; 5000]].concat(),
    ]
}

#[test]
fn disputed_archives_are_refused_or_read_as_by_others() {
    if !tools() {
        return;
    }
    let archives = disputed();
    let accepted = compare(&archives);
    assert!((8..20).contains(&accepted), "{accepted} of {}", archives.len());
    let listed = read(&archives[0]).unwrap();
    let names: Vec<_> = listed.iter().map(|(entry, _)| entry.path.as_slice()).collect();
    assert_eq!(names, [&b"outer"[..], b"after"]);
}

/// A small generator (xorshift), the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }
}

#[test]
fn mutated_archives_that_are_accepted_are_read_as_by_others() {
    if !tools() {
        return;
    }
    let count = 600;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut ustar = tar::Header::new_ustar();
    ustar.set_path("prefix/name").unwrap();
    ustar.set_mode(0o600);
    ustar.set_mtime(0);
    ustar.set_size(3);
    ustar.set_uid(0);
    ustar.set_gid(0);
    let start = Tar::new()
        .dir("d")
        .pax(&[("size", b"3"), ("mtime", b"1.5")])
        .file("d/a", b"abc")
        .entry(b'L', "L", "", 0, b"a-long-name\0")
        .file("d/b", &[1; 700])
        .header(ustar, b"xyz")
        .symlink("s", "d/a")
        .hardlink("h", "d/a")
        .end();
    // What a byte may become: what has a meaning somewhere.
    let bytes = b"\0\0 0012567xgLKVS+-/.=\n\\\x80\xff\x81a";
    let mut archives = Vec::new();
    while archives.len() < count {
        let mut tar = start.clone();
        for _ in 0..=random.below(3) {
            let block = random.below(tar.len() / 512) * 512;
            // Python takes the prefix of every header, where GNU headers have
            // times: known, and not what other programs do.
            let at = block + random.below(345);
            tar[at] = bytes[random.below(bytes.len())];
            let header = &mut tar[block..block + 512];
            if header[257..262] == *b"ustar" {
                header[148..156].fill(b' ');
                let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
                header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        // A volume label is no entry here, and one for others.
        if !tar.chunks(512).any(|block| block[156] == b'V') {
            archives.push(tar);
        }
    }
    let accepted = compare(&archives);
    assert!(accepted > count / 10, "{accepted} of {count}");
}

/// What the formats and options of the usual programs have in common with
/// hostile archives, they must not be refused for.
#[test]
fn archives_of_usual_programs_are_read() {
    if !tools() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let deep = root.join("d/".repeat(20)).join("n".repeat(60));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("file"), [7; 3000]).unwrap();
    std::fs::write(root.join("empty"), "").unwrap();
    std::fs::hard_link(deep.join("file"), root.join("hard")).unwrap();
    std::os::unix::fs::symlink("l".repeat(150), root.join("soft")).unwrap();
    std::fs::File::create(root.join("sparse")).unwrap().set_len(1 << 20).unwrap();
    let mut archives = Vec::new();
    let mut make = |program: &str, args: &[&str]| {
        let path = dir.path().join("made.tar");
        let mut command = Command::new(program);
        command.args(args).arg(&path).arg(&root).current_dir(dir.path());
        let (good, text) = run(&mut command, b"");
        assert!(good, "{program} {args:?}: {text}");
        archives.push(std::fs::read(path).unwrap());
    };
    for format in ["oldgnu", "gnu", "posix", "ustar"] {
        let format = format!("--format={format}");
        make("tar", &["-c", "--exclude=soft", &format, "-P", "-f"]);
    }
    for more in ["--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"] {
        make("tar", &["-c", "--format=posix", "--sparse", more, "-P", "-f"]);
    }
    make("tar", &["-c", "--format=gnu", "--sparse", "-P", "-f"]);
    make("tar", &["-c", "--format=posix", "--xattrs", "--numeric-owner", "-P", "-f"]);
    make("tar", &["-c", "--format=v7", "--exclude=d", "--exclude=soft", "-P", "-f"]);
    for format in ["GNU_FORMAT", "PAX_FORMAT"] {
        let script = format!(
            "import sys, tarfile; tarfile.open(sys.argv[1], 'w', format=tarfile.{format}).add(sys.argv[2])"
        );
        make("python3", &["-c", &script]);
    }
    for archive in &archives {
        read(archive).unwrap();
    }
    assert_eq!(compare(&archives), archives.len());
}
