//! Makes tars and images for tests, wrong ones too.
//!
//! Only compiled for tests. Headers are written as asked: no check stands
//! between a test and a hostile archive.

use std::io::{Cursor, Write};
use std::path::Path;

use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::error::Result;
use crate::image::digest;
use crate::image::{LoadOptions, Source, Store, Summary};

/// Whether this is root; a printed skip otherwise.
#[expect(clippy::print_stderr, reason = "a skip must be seen in the test's output")]
pub(crate) fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("LIBCTR_TEST_REQUIRE").is_none(), "skip not accepted: needs root");
        eprintln!("skipped: needs root");
    }
    root
}

/// A tar in the making.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Tar {
        Tar::default()
    }

    /// One entry: type, name, link target, data.
    pub(crate) fn entry(self, kind: u8, name: &str, link: &str, mode: u32, data: &[u8]) -> Tar {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(u64::try_from(data.len()).unwrap());
        if let Some(gnu) = header.as_gnu_mut() {
            gnu.name[..name.len()].copy_from_slice(name.as_bytes());
            gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        self.header(header, data)
    }

    /// A header as it is, with the right checksum, and its data.
    pub(crate) fn header(mut self, mut header: Header, data: &[u8]) -> Tar {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
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

    pub(crate) fn symlink(self, name: &str, target: &str) -> Tar {
        self.entry(b'2', name, target, 0o777, b"")
    }

    pub(crate) fn hardlink(self, name: &str, target: &str) -> Tar {
        self.entry(b'1', name, target, 0o644, b"")
    }

    /// An extended header in front of the next entry.
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
        self.entry(b'x', "PaxHeader", "", 0o644, &text)
    }

    /// The whole archive.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// An image in the making: files of an OCI layout.
#[derive(Clone)]
pub(crate) struct Layout {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) manifests: Vec<Value>,
}

impl Layout {
    pub(crate) fn new() -> Layout {
        let version = br#"{"imageLayoutVersion":"1.0.0"}"#;
        Layout { files: vec![("oci-layout".to_owned(), version.to_vec())], manifests: Vec::new() }
    }

    /// Adds a blob and gives its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest::of(bytes);
        self.files.push((format!("blobs/sha256/{}", digest.digest()), bytes.to_vec()));
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Adds an image of uncompressed layers and gives its manifest's
    /// descriptor.
    pub(crate) fn image(&mut self, layers: &[Vec<u8>]) -> Value {
        let diff_ids: Vec<String> = layers.iter().map(|tar| digest::of(tar).to_string()).collect();
        self.image_of(layers, &diff_ids)
    }

    /// As [`Layout::image`], of any blobs and DiffIDs.
    pub(crate) fn image_of(&mut self, blobs: &[Vec<u8>], diff_ids: &[String]) -> Value {
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config =
            self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let layer = "application/vnd.oci.image.layer.v1.tar";
        let layers: Vec<Value> = blobs.iter().map(|blob| self.blob(layer, blob)).collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        self.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes())
    }

    /// Names a descriptor in the top index: a name, or a bare tag like `2.0`.
    pub(crate) fn name(&mut self, mut descriptor: Value, name: &str) {
        let bare = name.contains(':') || name.starts_with(|c: char| c.is_ascii_digit());
        let name = if bare { name.to_owned() } else { format!("{name}:latest") };
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        self.manifests.push(descriptor);
    }

    /// The files with the index.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        let mut files = self.files.clone();
        files.push(("index.json".to_owned(), index.to_string().into_bytes()));
        files
    }

    pub(crate) fn archive(&self) -> Vec<u8> {
        self.files().iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(name, bytes)).end()
    }

    pub(crate) fn write(&self, dir: &Path) {
        for (name, bytes) in self.files() {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

/// A layout with one image under one name.
pub(crate) fn one_image(name: &str, layers: &[Vec<u8>]) -> Layout {
    let mut layout = Layout::new();
    let image = layout.image(layers);
    layout.name(image, name);
    layout
}

/// What `docker save` writes: config, layers, manifest.json.
pub(crate) fn docker_archive(tags: &[&str], layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|tar| digest::of(tar).to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", digest::of(&config).digest());
    let mut tar = Tar::new().file(&name, &config);
    let mut paths = Vec::new();
    for (n, layer) in layers.iter().enumerate() {
        paths.push(format!("layer{n}/layer.tar"));
        tar = tar.file(&paths[n], layer);
    }
    let manifest = json!([{"Config": name, "RepoTags": tags, "Layers": paths}]);
    tar.file("manifest.json", manifest.to_string().as_bytes()).end()
}

/// A store in a temporary directory.
pub(crate) struct Scratch {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Scratch { dir, store }
    }

    pub(crate) fn again(&self) -> Store {
        Store::open(&self.dir.path().join("store")).unwrap()
    }

    pub(crate) fn load(&self, archive: Vec<u8>) -> Result<Vec<Summary>> {
        self.load_with(archive, &LoadOptions::default())
    }

    pub(crate) fn load_with(
        &self,
        archive: Vec<u8>,
        options: &LoadOptions<'_>,
    ) -> Result<Vec<Summary>> {
        self.store.load(Source::Reader(Box::new(Cursor::new(archive))), options)
    }

    /// Everything in the temporary directory: path, type, size, mode, time.
    pub(crate) fn snapshot(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(self.dir.path(), &mut found);
        found.retain(|line| !line.contains("/index.lock "));
        found.sort();
        found
    }
}

fn walk(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let size = if meta.is_dir() { 0 } else { meta.len() };
        found.push(format!("{} {:?} {size}", path.display(), meta.file_type()));
        if meta.is_dir() {
            walk(&path, found);
        }
    }
}
