//! Options of `run` about the file system.

use std::path::{Path, PathBuf};

use clap::Args;
use libctr::spec::{HostDevice, Mount, MountKind, MountOption, RunSpec};
use libctr::{Error, Stage};

use super::process::octal;
use crate::quantity::size;

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
pub(super) struct Files {
    /// Show a file or directory of the host inside: SOURCE:TARGET[:ro|:cow];
    /// writable unless ro, cow keeps what is written in the container; also
    /// suid, noexec
    #[arg(short, long = "volume", value_name = "SOURCE:TARGET", value_parser = volume)]
    volumes: Vec<Mount>,
    /// type=bind|tmpfs|overlay,source=…,target=… and, where wanted, readonly,
    /// size=…, mode=…, suid, noexec
    #[arg(long = "mount", value_name = "OPTIONS", value_parser = mount)]
    mounts: Vec<Mount>,
    /// An empty file system in memory: TARGET[:size=64m,mode=1777,ro,noexec]
    #[arg(long, value_name = "TARGET", value_parser = tmpfs)]
    tmpfs: Vec<Mount>,
    /// A device of the host, or all below a directory: `HOST[:CONTAINER][:rwm]`
    #[arg(long = "device", value_name = "DEVICE")]
    devices: Vec<HostDevice>,
    /// Make the root read-only
    #[arg(long)]
    read_only: bool,
}

impl Files {
    pub(super) fn apply(&self, spec: &mut RunSpec) -> libctr::Result<()> {
        let mut mounts: Vec<Mount> = Vec::new();
        mounts.extend(self.volumes.iter().chain(&self.mounts).chain(&self.tmpfs).cloned());
        // One inside another comes after it, whatever option it is from.
        mounts.sort_by_key(|mount| mount.target.components().count());
        for mount in &mut mounts {
            if let Some(source) = &mut mount.source {
                *source = absolute(source)?;
            }
        }
        spec.mounts.append(&mut mounts);
        for device in &self.devices {
            // Inside it has the path that was written.
            let inside = device.target().to_owned();
            let path = absolute(&device.path)?;
            spec.devices.push(HostDevice { path, container_path: Some(inside), ..device.clone() });
        }
        spec.read_only |= self.read_only;
        Ok(())
    }
}

/// The path as seen from our working directory.
pub(super) fn absolute(path: &Path) -> libctr::Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Error::io(Stage::Spec, format!("realpath({path:?})"), error))
}

/// Reads `SOURCE:TARGET[:OPTIONS]`.
fn volume(text: &str) -> Result<Mount, String> {
    let mut parts = text.split(':');
    let (source, target) = (parts.next().unwrap_or_default(), parts.next());
    let (options, rest) = (parts.next(), parts.next());
    let (Some(target), None) = (target.filter(|target| !target.is_empty()), rest) else {
        return Err(
            "expected SOURCE:TARGET or SOURCE:TARGET:ro; --tmpfs makes an empty directory, \
                    --mount takes paths with colons"
                .into(),
        );
    };
    if !source.starts_with(['/', '.']) {
        return Err(format!(
            "{source:?} would be a named volume, which there are none of: write a path, \
             \"/{source}\" or \"./{source}\""
        ));
    }
    let mut mount = Mount { read_only: Some(false), ..Mount::bind(source, target) };
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        match option {
            "rw" => mount.read_only = Some(false),
            "ro" => mount.read_only = Some(true),
            "cow" => mount.kind = MountKind::Overlay,
            _ => mount.options.push(named(option).ok_or_else(|| {
                format!("expected the options ro, rw, cow, {NAMES}, found {option:?}")
            })?),
        }
    }
    Ok(mount)
}

/// Options that every mount can have.
const NAMES: &str = "suid, nosuid, exec, noexec or nodev";

fn named(option: &str) -> Option<MountOption> {
    MountOption::from_name(option)
}

/// Reads `TARGET[:OPTIONS]`.
fn tmpfs(text: &str) -> Result<Mount, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = Mount::tmpfs(target);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) => mount.size = Some(size(value)?),
            Some(("mode", value)) => mount.mode = Some(octal(value)?),
            None if option == "ro" => mount.read_only = Some(true),
            None if option == "rw" => {}
            _ => mount.options.push(named(option).ok_or_else(|| {
                format!("expected the options size=, mode=, ro, {NAMES}, found {option:?}")
            })?),
        }
    }
    Ok(mount)
}

/// Reads `type=…,source=…,target=…`.
fn mount(text: &str) -> Result<Mount, String> {
    let (mut kind, mut source, mut target) = (None, None, None);
    let (mut read_only, mut bytes, mut mode) = (false, None, None);
    let mut options = Vec::new();
    for field in fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        match (key, value) {
            ("type", Some("bind")) => kind = Some(MountKind::Bind),
            ("type", Some("tmpfs")) => kind = Some(MountKind::Tmpfs),
            ("type", Some("overlay")) => kind = Some(MountKind::Overlay),
            ("type", _) => return Err("type: expected bind, tmpfs or overlay".into()),
            ("source" | "src", Some(value)) => source = Some(PathBuf::from(value)),
            ("target" | "dst" | "destination", Some(value)) => target = Some(PathBuf::from(value)),
            ("readonly" | "ro", None | Some("true" | "1")) => read_only = true,
            ("readonly" | "ro", Some("false" | "0")) => read_only = false,
            ("size" | "tmpfs-size", Some(value)) => bytes = Some(size(value)?),
            ("mode" | "tmpfs-mode", Some(value)) => mode = Some(octal(value)?),
            (name, None) => options.push(named(name).ok_or_else(|| unknown(&field))?),
            _ => return Err(unknown(&field)),
        }
    }
    Ok(Mount {
        kind: kind.ok_or("expected type=bind, type=tmpfs or type=overlay")?,
        source,
        target: target.ok_or("expected target= with a path inside")?,
        read_only: Some(read_only),
        size: bytes,
        mode,
        options,
    })
}

fn unknown(field: &str) -> String {
    format!("{field:?} is not known or lacks its value")
}

/// Comma-separated fields; one in double quotes may have commas (RFC 4180).
fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    if quoted { Err("a quote is not closed".into()) } else { Ok(fields) }
}

#[cfg(test)]
mod tests {
    use super::{fields, mount, tmpfs, volume};
    use libctr::spec::{Mount, MountKind, MountOption};

    #[test]
    fn volume_is_writable_unless_it_says_ro() {
        let bind = |read_only| Mount { read_only: Some(read_only), ..Mount::bind("/a", "/b") };
        assert_eq!(volume("/a:/b"), Ok(bind(false)));
        assert_eq!(volume("/a:/b:rw"), Ok(bind(false)));
        assert_eq!(volume("/a:/b:ro"), Ok(bind(true)));
        assert_eq!(volume("./a:/b:cow").map(|mount| mount.kind), Ok(MountKind::Overlay));
    }

    #[test]
    fn volume_without_a_path_or_with_unknown_options_is_refused() {
        assert!(volume("data:/b").unwrap_err().contains("\"./data\""));
        for text in ["/a", "/a:", ":/b", "/a:/b:ro:z", "/a:/b:z", "/a:/b:"] {
            assert!(volume(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mounts_of_each_type_are_read() {
        let bind = Mount { read_only: Some(true), ..Mount::bind("/a,b", "/c") };
        assert_eq!(mount("type=bind,\"src=/a,b\",dst=/c,ro"), Ok(bind));
        let memory = Mount {
            read_only: Some(false),
            size: Some(65_536),
            mode: Some(0o700),
            ..Mount::tmpfs("/t")
        };
        assert_eq!(mount("type=tmpfs,target=/t,tmpfs-size=64k,mode=700"), Ok(memory));
        assert!(mount("type=overlay,source=/a,destination=/b,readonly=false").is_ok());
    }

    #[test]
    fn options_of_mounts_are_the_same_everywhere() {
        let wanted = vec![MountOption::NoSuid, MountOption::NoExec];
        let options = |mount: Result<Mount, String>| mount.unwrap().options;
        assert_eq!(options(volume("/a:/b:ro,nosuid,noexec")), wanted);
        assert_eq!(options(tmpfs("/b:nosuid,noexec,rw")), wanted);
        assert_eq!(options(mount("type=bind,src=/a,dst=/b,nosuid,noexec")), wanted);
        assert!(volume("/a:/b:dev").unwrap_err().contains("\"dev\""));
        assert!(mount("type=bind,src=/a,dst=/b,dev").is_err());
    }

    #[test]
    fn mount_that_lacks_something_is_refused() {
        for text in
            ["", "type=bind", "src=/a,dst=/b", "type=volume,dst=/b", "type=tmpfs,dst=/t,x=1"]
        {
            assert!(mount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quotes_hold_commas_together() {
        assert_eq!(fields("a,\"b,\"\"c\",d").unwrap(), ["a", "b,\"c", "d"]);
        assert!(fields("\"a").is_err());
    }

    #[test]
    fn tmpfs_has_size_and_mode() {
        let mount = tmpfs("/t:rw,size=1m,mode=755,nosuid").unwrap();
        assert_eq!((mount.size, mount.mode, mount.read_only), (Some(1 << 20), Some(0o755), None));
        assert_eq!(mount.options, [MountOption::NoSuid]);
        assert_eq!(tmpfs("/t"), Ok(Mount::tmpfs("/t")));
        assert!(tmpfs("/t:dev").unwrap_err().contains("\"dev\""));
    }
}
