//! Writes the seeds anew:
//! `cargo run --manifest-path tests/fuzz/Cargo.toml --example seeds`.
//!
//! Each has a name that says what it is; nothing in them comes from a real
//! image but the shape of the documents.

use std::fs;
use std::path::Path;

use libctr_fuzz::{Item, Tar, digest};
use libctr_helper::plan::{Field, HEADER, Kind, MAGIC, VERSION};
use serde_json::{Value, json};

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(name), bytes).unwrap();
}

fn dir(name: &str) -> Item {
    Item::new(b'5', name, "", b"")
}

fn file(name: &str, data: &[u8]) -> Item {
    Item::new(b'0', name, "", data)
}

fn pax(mut item: Item, records: &[(&'static str, &str)]) -> Item {
    item.records = records.iter().map(|(key, value)| (*key, value.as_bytes().to_vec())).collect();
    item
}

fn ustar(mut item: Item) -> Item {
    item.ustar = true;
    item
}

/// Layers, each with one thing that a reader of tars has to get right.
fn layers() -> Vec<(&'static str, Tar)> {
    let sparse = [
        ("GNU.sparse.size", "8192"),
        ("GNU.sparse.numblocks", "2"),
        ("GNU.sparse.map", "512,3,4096,2"),
    ];
    let newer = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.realsize", "8192"),
        ("GNU.sparse.name", "real"),
    ];
    let mut map = b"1\n512\n5\n".to_vec();
    map.resize(512, 0);
    map.extend_from_slice(b"abcde");
    let mut old_sparse = file("old", b"abcde");
    old_sparse.kind = b'S';
    old_sparse.patches = b"00000001000\000000000005\0"
        .iter()
        .zip(386..)
        .chain(b"00000020000\0".iter().zip(483..))
        .map(|(byte, at)| (at, *byte))
        .collect();
    vec![
        ("plain", Tar(vec![dir("etc/"), file("etc/motd", b"hello\n"), file("a", b"")])),
        (
            "links",
            Tar(vec![
                file("a", b"x"),
                Item::new(b'1', "h", "a", b""),
                Item::new(b'2', "s", "../outside", b""),
                file("s/a", b"x"),
            ]),
        ),
        (
            "whiteouts",
            Tar(vec![
                file("a/.wh.gone", b""),
                file("b/.wh..wh..opq", b""),
                file(".wh.a", b""),
                file("b/x", b""),
            ]),
        ),
        (
            "pax",
            Tar(vec![ustar(pax(
                file("a", b"hello"),
                &[
                    ("path", "long/name"),
                    ("mtime", "1.5"),
                    ("uid", "70000"),
                    ("size", "5"),
                    ("SCHILY.xattr.user.a", "b"),
                ],
            ))]),
        ),
        ("sparse", Tar(vec![pax(file("a", b"abcde"), &sparse), pax(file("b", &map), &newer)])),
        ("sparse-old", Tar(vec![old_sparse])),
        (
            "long",
            Tar(vec![
                Item::new(b'L', "././@LongLink", "", format!("{}\0", "n/".repeat(80)).as_bytes()),
                dir("n"),
                Item::new(b'K', "././@LongLink", "", b"target\0"),
                Item::new(b'2', "l", "t", b""),
            ]),
        ),
        (
            "nodes",
            Tar(vec![
                Item::new(b'6', "fifo", "", b""),
                Item::new(b'3', "null", "", b""),
                Item::new(b'4', "disk", "", b""),
            ]),
        ),
        (
            "again",
            Tar(vec![
                Item::new(b'2', "l", "../outside", b""),
                dir("l"),
                file("l/a", b""),
                file("l", b"x"),
                Item::new(b'1', "l", "later", b""),
                file("later", b""),
            ]),
        ),
        ("global", Tar(vec![Item::new(b'g', "g", "", b"14 comment=yy\n"), file("a", b"x")])),
    ]
}

fn documents(layer: &[u8]) -> (Value, Value, Value) {
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["sh"], "Entrypoint": null, "Env": ["PATH=/bin"], "User": "app:1",
            "WorkingDir": "/srv", "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}},
            "Volumes": {"/data": {}}, "StopSignal": "SIGTERM"},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        "history": [{"created_by": "sh", "empty_layer": false}],
    });
    let describe = |kind: &str, bytes: &[u8]| {
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes),
            "size": bytes.len()})
    };
    let manifest = json!({"schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("config.v1+json", config.to_string().as_bytes()),
        "layers": [describe("layer.v1.tar", layer)]});
    let mut top = describe("manifest.v1+json", manifest.to_string().as_bytes());
    top["platform"] = json!({"architecture": "amd64", "os": "linux", "variant": "v1"});
    top["annotations"] = json!({"org.opencontainers.image.ref.name": "docker.io/library/app:1"});
    (config, manifest, json!({"schemaVersion": 2, "manifests": [top]}))
}

fn images() {
    let layer = layers()[0].1.to_bytes();
    let (config, manifest, index) = documents(&layer);
    let layout = json!({"imageLayoutVersion": "1.0.0"});
    let docker = json!([{"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l/layer.tar"]}]);
    for (name, document) in [
        ("config", &config),
        ("manifest", &manifest),
        ("index", &index),
        ("layout", &layout),
        ("docker", &docker),
    ] {
        seed("manifest", name, document.to_string().as_bytes());
    }
    let blob = |bytes: &[u8]| file(&format!("blobs/{}", digest(bytes).replace(':', "/")), bytes);
    let text = |value: &Value| value.to_string().into_bytes();
    let oci = Tar(vec![
        file("oci-layout", &text(&layout)),
        file("index.json", &text(&index)),
        blob(&text(&manifest)),
        blob(&text(&config)),
        blob(&layer),
    ]);
    let save = Tar(vec![
        file("c.json", &text(&config)),
        file("k/layer.tar", &layer),
        Item::new(b'2', "l/layer.tar", "../k/layer.tar", b""),
        file("manifest.json", &text(&docker)),
    ]);
    for (name, tar) in [("oci", oci), ("docker", save)] {
        let tar = tar.to_bytes();
        seed("archive", name, &[b"\0", &tar[..]].concat());
        let packed = zstd::encode_all(&tar[..], 1).unwrap();
        seed("archive", &format!("{name}-zstd"), &[b"\0", &packed[..]].concat());
    }
    // For images made of arbitrary bytes: something to start with.
    let bytes: Vec<u8> =
        (0..3000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    seed("archive", "made", &[b"\x02", &bytes[..]].concat());
    seed("layer", "made", &[b"\x02", &bytes[..]].concat());
}

fn plan() -> Vec<u8> {
    let mut records = Vec::new();
    for (kind, payload) in [
        (Kind::Hostname, &b"box\0"[..]),
        (Kind::GroupV2, b"/sys/fs/cgroup/a\0"),
        (Kind::Rlimit, &[7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]),
        (Kind::RootOverlay, b"\0\0\0\0root\0upper\0work\0\x01\0\0\0lower\0"),
        (Kind::Filesystem, b"\x0e\0\0\0\0\0\0\0proc\0proc\0\0"),
        (Kind::Bind, b"\x01\0\0\0/a\0b\0"),
        (Kind::Mask, b"proc/kcore\0"),
        (Kind::Cwd, b"/\0"),
        (Kind::Argument, b"true\0"),
        (Kind::Environment, b"A=b\0"),
        (Kind::Program, b"/bin/true\0"),
    ] {
        records.extend_from_slice(&u32::from(kind as u16).to_le_bytes());
        records.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        records.extend_from_slice(payload);
        records.resize(records.len().next_multiple_of(8), 0);
    }
    let length = u32::try_from(HEADER + Field::ALL.len() * 8 + records.len()).unwrap();
    let mut bytes: Vec<u8> =
        [MAGIC, VERSION, length, 11].iter().flat_map(|number| number.to_le_bytes()).collect();
    for field in 0..Field::ALL.len() {
        bytes.extend_from_slice(&(field as u64).to_le_bytes());
    }
    bytes.extend_from_slice(&records);
    bytes
}

fn texts() {
    for (n, name) in [
        "busybox",
        "ghcr.io/org/app:1.2",
        "[::1]:5000/app:v1",
        "localhost/a",
        "Host/a__b/c--d",
        "app:1@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "docker.io/library/x",
        "index.docker.io/y",
        "docker.io/library/library/z",
    ]
    .iter()
    .enumerate()
    {
        seed("reference", &n.to_string(), name.as_bytes());
    }
    for (name, spec) in [
        ("empty", json!({})),
        (
            "usual",
            json!({"image": "alpine:3.20", "args": ["sh", "-c", "ls"], "env": {"A": "b", "C": null},
            "cwd": "/", "user": "app:1", "umask": "022", "limits": {"memory": "256M", "cpus": 1.5,
            "wall_time": 2.5, "pids": "unlimited", "output": "1M", "nofile": 64}}),
        ),
        (
            "mounts",
            json!({"rootfs": "/srv/root", "mounts": [
            {"type": "bind", "source": "/a", "target": "/b", "read_only": false},
            {"type": "tmpfs", "target": "/t", "size": "1M"},
            {"type": "overlay", "source": {"base64": "L2H/"}, "target": "/o"}]}),
        ),
        (
            "network",
            json!({"network": "nat", "publish": ["127.0.0.1:8080:80/tcp"], "dns": ["1.1.1.1"],
            "hosts": {"db": "10.0.0.2"}, "hostname": "box", "name": "box", "labels": {"a": "b"}}),
        ),
        (
            "security",
            json!({"security": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "seccomp": "unconfined", "no_new_privileges": false, "user_namespace": {
            "uid_maps": [{"container_id": 0, "host_id": 1000, "size": 1}],
            "gid_maps": [{"container_id": 0, "host_id": 1000, "size": 1}]}}}),
        ),
        (
            "rest",
            json!({"schema": 1, "tty": true, "init": false, "detach": true, "remove": false,
            "writable": "disk", "pull": "never", "stop_signal": "SIGINT", "x-note": [1, {"a": 1e3}],
            "limits": {"io": {"weight": 100, "devices": [{"device": "/dev/vda", "read_bps": "1M"}]},
            "cpuset": "0-1", "swap": 0, "core": "unlimited"}}),
        ),
    ] {
        seed("runspec", name, spec.to_string().as_bytes());
    }
    seed("oci_spec", "word", b"\"unconfined\"");
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/a", "listenerMetadata": "b",
        "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "value": 2, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}]}]});
    seed("oci_spec", "profile", profile.to_string().as_bytes());
    seed(
        "passwd",
        "passwd",
        b"root:x:0:0:root:/root:/bin/sh\n# no\napp:x:1000:100::/home/app\n+::::::\n",
    );
    seed("passwd", "group", b"root:x:0:root\nwheel:x:10:root,app\nnone:x:12\n");
    seed("passwd", "user", b"app:wheel");
    seed(
        "mountinfo",
        "hybrid",
        b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
        30 22 0:26 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n\
        31 22 0:27 /a /sys/fs/cgroup/memory\\040x rw - cgroup cgroup rw,memory\n\
        32 22 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n=\n\
        4:memory:/a/b\n2:cpu,cpuacct:/x:y\n1:name=systemd:/\n0::/user.slice/../z\n",
    );
}

fn main() {
    for (name, tar) in layers() {
        let bytes = tar.to_bytes();
        seed("layer", name, &[b"\0", &bytes[..]].concat());
        seed("layer", &format!("{name}-fixed"), &[b"\x01", &bytes[..]].concat());
    }
    images();
    texts();
    let plan = plan();
    seed("plan", "plan", &plan);
    seed("oci_spec", "plan", &plan);
    for (name, bytes) in [
        ("started", &[2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0][..]),
        ("failed", &[3, 0, 0, 0, 7, 39, 10, 0, 2, 0, 0, 0]),
        ("control", &[1, 0, 0, 0]),
    ] {
        seed("message", name, bytes);
    }
    seed("message", "with-plan", &[&[7, 39, 10, 0, 2, 0, 0, 0], &plan[..]].concat());
}
