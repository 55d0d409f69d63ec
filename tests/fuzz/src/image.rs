//! Image archives made of arbitrary layers and documents, with right digests
//! unless the input says otherwise.

use std::io::Write;

use arbitrary::Arbitrary;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::tar::{Item, Tar};

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// What may be wrong with an image.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Flaw {
    None,
    Digest,
    Size,
    DiffId,
    MissingBlob,
    TwoNames,
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Layer {
    tar: Tar,
    packing: Packing,
    /// Bytes after the archive's end.
    rest: Vec<u8>,
}

/// One image archive.
#[derive(Arbitrary, Clone, Debug)]
pub struct Image {
    docker: bool,
    layers: Vec<Layer>,
    /// Instead of the documents that fit.
    config: Option<Vec<u8>>,
    manifest: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
    name: String,
    flaw: Flaw,
    nested: u8,
    before: Vec<Item>,
    after: Vec<Item>,
    packing: Packing,
}

/// `sha256:…`
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn pack(bytes: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => bytes.to_vec(),
        Packing::Gzip => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(bytes).unwrap();
            to.finish().unwrap()
        }
        Packing::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}

fn file(name: &str, bytes: &[u8]) -> Item {
    Item::new(b'0', name, "", bytes)
}

impl Image {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut items = self.before.clone();
        let mut blobs: Vec<Vec<u8>> = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in self.layers.iter().take(6) {
            let mut tar = layer.tar.to_bytes();
            tar.extend_from_slice(&layer.rest);
            diff_ids.push(digest(&tar));
            blobs.push(pack(&tar, layer.packing));
        }
        if let (Flaw::DiffId, Some(last)) = (self.flaw, diff_ids.last_mut()) {
            *last = digest(b"another");
        }
        let config = self.config.clone().unwrap_or_else(|| {
            let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids}});
            config.to_string().into_bytes()
        });
        match self.docker {
            true => self.docker(&mut items, &config, &blobs),
            false => self.oci(&mut items, &config, &blobs),
        }
        items.extend(self.after.iter().cloned());
        pack(&Tar(items).to_bytes(), self.packing)
    }

    fn docker(&self, items: &mut Vec<Item>, config: &[u8], blobs: &[Vec<u8>]) {
        let mut names = Vec::new();
        for (n, blob) in blobs.iter().enumerate() {
            names.push(format!("{n}/layer.tar"));
            items.push(file(&names[n], blob));
        }
        items.push(file("c.json", config));
        let manifest = self.manifest.clone().unwrap_or_else(|| {
            let list = json!([{"Config": "c.json", "RepoTags": [self.name], "Layers": names}]);
            list.to_string().into_bytes()
        });
        items.push(file("manifest.json", &manifest));
    }

    fn oci(&self, items: &mut Vec<Item>, config: &[u8], blobs: &[Vec<u8>]) {
        let mut blob = |kind: &str, bytes: &[u8]| {
            let mut name = digest(bytes);
            items.push(file(&format!("blobs/{}", name.replace(':', "/")), bytes));
            let mut size = bytes.len();
            match self.flaw {
                Flaw::Digest => name = digest(b"another"),
                Flaw::Size => size += 1,
                Flaw::MissingBlob => drop(items.pop()),
                _ => {}
            }
            json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": name, "size": size})
        };
        let layers: Vec<Value> = blobs.iter().map(|bytes| blob("layer.v1.tar", bytes)).collect();
        let config = blob("config.v1+json", config);
        let manifest = self.manifest.clone().unwrap_or_else(|| {
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
            manifest.to_string().into_bytes()
        });
        let mut top = blob("manifest.v1+json", &manifest);
        for _ in 0..self.nested % 8 {
            let list = json!({"schemaVersion": 2, "manifests": [top]}).to_string();
            top = blob("index.v1+json", list.as_bytes());
        }
        top["annotations"] = json!({"org.opencontainers.image.ref.name": self.name});
        let mut list = vec![top.clone()];
        if let Flaw::TwoNames = self.flaw {
            top["annotations"]["io.containerd.image.name"] = json!("docker.io/library/two:1");
            list.push(top);
        }
        let index = self.index.clone().unwrap_or_else(|| {
            json!({"schemaVersion": 2, "manifests": list}).to_string().into_bytes()
        });
        items.push(file("index.json", &index));
        items.push(file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#));
    }
}
