//! Hostile archives, and a place beside the store that they must not change.
//!
//! The generator writes what it is told: nothing stands between a test and a
//! wrong header.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{Cursor, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libctr::image::{LoadOptions, Source, Store, Summary};
use libctr::{Error, ErrorKind, Stage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) mod breakouts;
pub(crate) mod child;

/// A tar in the making.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Tar {
        Tar::default()
    }

    /// One entry: type, name, link target, mode, data.
    pub(crate) fn entry(self, kind: u8, name: &str, link: &str, mode: u32, data: &[u8]) -> Tar {
        self.patched(kind, name, link, mode, data, &[])
    }

    /// An entry some bytes of whose header are replaced.
    pub(crate) fn patched(
        mut self,
        kind: u8,
        name: &str,
        link: &str,
        mode: u32,
        data: &[u8],
        patches: &[(usize, &[u8])],
    ) -> Tar {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}\0").as_bytes());
        put(108, b"0000000\x000000000\0");
        put(124, format!("{:011o}\0", data.len()).as_bytes());
        put(136, b"07346545000\0        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar  \0");
        put(329, b"0000001\x000000003\0");
        for (at, bytes) in patches {
            put(*at, bytes);
        }
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, data: &[u8]) -> Tar {
        self.entry(b'0', name, "", 0o644, data)
    }

    pub(crate) fn dir(self, name: &str) -> Tar {
        self.entry(b'5', name, "", 0o755, b"")
    }

    pub(crate) fn symlink(self, target: &str, name: &str) -> Tar {
        self.entry(b'2', name, target, 0o777, b"")
    }

    pub(crate) fn hardlink(self, target: &str, name: &str) -> Tar {
        self.entry(b'1', name, target, 0o644, b"")
    }

    /// Records in front of the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length += 1;
            }
            text.extend_from_slice(format!("{length} {key}=").as_bytes());
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        self.entry(b'x', "pax", "", 0o644, &text)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).expect("memory");
    writer.finish().expect("memory")
}

/// The files of an OCI layout of one image, `app:1`.
#[derive(Clone)]
pub(crate) struct Layout {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) index: Value,
}

impl Layout {
    /// An image of these blobs, whose tars have these digests.
    pub(crate) fn new(blobs: &[Vec<u8>], diff_ids: &[String]) -> Layout {
        let config = json!({"architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux", "config": {"Cmd": ["/probe"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        Layout::of(blobs, config.to_string().as_bytes())
    }

    /// An image of these blobs with this config.
    pub(crate) fn of(blobs: &[Vec<u8>], config: &[u8]) -> Layout {
        let mut layout = Layout { files: Vec::new(), index: Value::Null };
        let layers: Vec<Value> =
            blobs.iter().map(|blob| layout.blob("layer.v1.tar", blob)).collect();
        let config = layout.blob("config.v1+json", config);
        layout.manifest(&json!({"schemaVersion": 2, "config": config, "layers": layers}));
        layout
    }

    /// An image of uncompressed layers.
    pub(crate) fn plain(layers: &[Vec<u8>]) -> Layout {
        Layout::new(layers, &layers.iter().map(|tar| digest(tar)).collect::<Vec<_>>())
    }

    pub(crate) fn blob(&mut self, kind: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        self.files.push((format!("blobs/{}", digest.replace(':', "/")), bytes.to_vec()));
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest,
            "size": bytes.len()})
    }

    /// Makes this the image.
    pub(crate) fn manifest(&mut self, manifest: &Value) {
        let mut top = self.blob("manifest.v1+json", manifest.to_string().as_bytes());
        top["annotations"] =
            json!({"org.opencontainers.image.ref.name": "docker.io/library/app:1"});
        self.index = json!({"schemaVersion": 2, "manifests": [top]});
    }

    /// All files, the index last.
    pub(crate) fn all(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = self.files.clone();
        files.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
        files.push(("index.json".into(), self.index.to_string().into_bytes()));
        files
    }

    pub(crate) fn archive(&self) -> Vec<u8> {
        self.all().iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(name, bytes)).end()
    }

    pub(crate) fn write(&self, dir: &Path) {
        for (name, bytes) in self.all() {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
            std::fs::write(path, bytes).expect("file");
        }
    }
}

/// A store beside a sacrificial directory.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    before: Vec<String>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let dir = tempfile::tempdir().expect("directory");
        for part in ["outside/etc", "outside/a"] {
            std::fs::create_dir_all(dir.path().join(part)).expect("directory");
        }
        std::fs::write(dir.path().join("outside/etc/passwd"), "untouched").expect("file");
        let store = Store::open(&dir.path().join("store")).expect("store");
        let mut bench = Bench { dir, store, before: Vec::new() };
        bench.before = bench.list();
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What is there, but for locks: path, type, mode, owner, size, time.
    fn list(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut pending = vec![self.path("outside"), self.path("store")];
        while let Some(path) = pending.pop() {
            let meta = path.symlink_metadata().expect("metadata");
            let mut line = format!("{path:?} {:o} {} {}", meta.mode(), meta.uid(), meta.nlink());
            if !path.starts_with(self.path("store")) {
                line += &format!(" {} {} {}", meta.len(), meta.mtime_nsec(), meta.ctime_nsec());
            }
            if meta.is_dir() {
                pending.extend(
                    std::fs::read_dir(&path).expect("names").map(|e| e.expect("name").path()),
                );
            }
            found.push(line);
        }
        found.retain(|line| !line.contains("index.lock"));
        found.sort();
        found
    }

    /// Fails unless the sacrificial directory is as it was.
    #[track_caller]
    pub(crate) fn check_outside(&self) {
        let outside = |list: &[String]| -> Vec<String> {
            list.iter().filter(|line| line.contains("/outside")).cloned().collect()
        };
        assert_eq!(outside(&self.list()), outside(&self.before));
    }

    /// Fails unless the store is as it was, too.
    #[track_caller]
    pub(crate) fn check_all(&self) {
        assert_eq!(self.list(), self.before);
    }

    pub(crate) fn load(&self, archive: Vec<u8>) -> Result<Vec<Summary>, Error> {
        let source = Source::Reader(Box::new(Cursor::new(archive)));
        self.store.load(source, &LoadOptions::default())
    }

    /// Loads, expects an error that contains `text`, and that nothing changed.
    #[track_caller]
    pub(crate) fn refuses(&self, archive: Vec<u8>, text: &str) {
        let error = self.load(archive).expect_err(text);
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::InvalidInput, Stage::Image),
            "{error}"
        );
        let message = error.to_string();
        assert!(message.starts_with("image: ") && message.contains(text), "{message} / {text}");
        self.check_all();
    }

    /// Loads one layer; the directory with its tree.
    #[track_caller]
    pub(crate) fn layer(&self, tar: Tar) -> Result<PathBuf, Error> {
        let loaded = self.load(Layout::plain(&[tar.end()]).archive())?;
        self.check_outside();
        Ok(self.store.get(&loaded[0].id).expect("the image").layers[0].path.clone())
    }
}
