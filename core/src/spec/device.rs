//! Devices of the host that the container gets besides the default ones.
//!
//! Stage `spec`, host side; looked up in `launch`, made by the helper at stage
//! `filesystem`, allowed by the control group. Source: `docker run --device`.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::{optional_path, path};
use super::validate::{absolute, refuse};
use crate::Result;

/// A device of the host, or all devices below a directory of it.
///
/// In JSON an object, or a string of Docker's form `HOST[:CONTAINER][:rwm]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostDevice {
    /// Absolute path on the host, of a character or block device or of a
    /// directory. Symbolic links are followed, those inside a directory not.
    #[serde(with = "path")]
    pub path: PathBuf,
    /// Absolute path inside, without `..`. `None`: the same as on the host.
    #[serde(with = "optional_path", skip_serializing_if = "Option::is_none")]
    pub container_path: Option<PathBuf>,
    /// What the container may do with it.
    pub access: DeviceAccess,
}

/// What a container may do with a device; in JSON the letters `r`, `w`, `m`.
///
/// Opening is refused beyond it and beyond what other items say of the same
/// device; the default ones can be read and written in any case. Making another node of a device is allowed in
/// any case, as with container engines: `mknod` is there for their spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAccess {
    /// `r`: open for reading.
    pub read: bool,
    /// `w`: open for writing.
    pub write: bool,
    /// `m`: make nodes of it.
    pub mknod: bool,
}

impl Default for DeviceAccess {
    fn default() -> DeviceAccess {
        DeviceAccess { read: true, write: true, mknod: true }
    }
}

impl FromStr for DeviceAccess {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<DeviceAccess, String> {
        let mut access = DeviceAccess { read: false, write: false, mknod: false };
        for letter in text.chars() {
            let bit = match letter {
                'r' => &mut access.read,
                'w' => &mut access.write,
                'm' => &mut access.mknod,
                _ => return Err(unlike_access(text)),
            };
            if std::mem::replace(bit, true) {
                return Err(unlike_access(text));
            }
        }
        if text.is_empty() { Err(unlike_access(text)) } else { Ok(access) }
    }
}

fn unlike_access(text: &str) -> String {
    format!("expected some of the letters r, w and m, found {text:?}")
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(self.read, "r"), (self.write, "w"), (self.mknod, "m")];
        letters.iter().filter(|(has, _)| *has).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl Serialize for DeviceAccess {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceAccess {
    fn deserialize<D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<DeviceAccess, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for HostDevice {
    type Err = String;

    /// Reads Docker's form: a second part that is letters of access is that,
    /// else it is the path inside.
    fn from_str(text: &str) -> std::result::Result<HostDevice, String> {
        let unlike = || {
            format!(
                "expected HOST[:CONTAINER][:rwm] such as \"/dev/fuse\" or \"/dev/sda:/dev/disk:r\", found {text:?}"
            )
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (path, inside, access) = match *parts.as_slice() {
            [path] => (path, None, None),
            [path, letters] if letters.parse::<DeviceAccess>().is_ok() => {
                (path, None, Some(letters))
            }
            [path, inside] => (path, Some(inside), None),
            [path, inside, letters] => (path, Some(inside), Some(letters)),
            _ => return Err(unlike()),
        };
        if path.is_empty() || inside == Some("") {
            return Err(unlike());
        }
        Ok(HostDevice {
            path: path.into(),
            container_path: inside.map(PathBuf::from),
            access: access.map_or(Ok(DeviceAccess::default()), str::parse)?,
        })
    }
}

impl<'de> Deserialize<'de> for HostDevice {
    fn deserialize<D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<HostDevice, D::Error> {
        deserializer.deserialize_any(TwoForms)
    }
}

struct TwoForms;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    #[serde(with = "path")]
    path: PathBuf,
    #[serde(default, with = "optional_path")]
    container_path: Option<PathBuf>,
    #[serde(default)]
    access: DeviceAccess,
}

impl<'de> Visitor<'de> for TwoForms {
    type Value = HostDevice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a string HOST[:CONTAINER][:rwm]")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<HostDevice, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<HostDevice, A::Error> {
        let Object { path, container_path, access } =
            Object::deserialize(MapAccessDeserializer::new(map))?;
        Ok(HostDevice { path, container_path, access })
    }
}

impl HostDevice {
    /// The path inside, with the default applied.
    #[must_use]
    pub fn target(&self) -> &Path {
        self.container_path.as_deref().unwrap_or(&self.path)
    }

    pub(super) fn validate(&self, at: &str) -> Result<()> {
        absolute(&format!("{at}.path"), &self.path)?;
        let key = if self.container_path.is_some() { "container_path" } else { "path" };
        let (key, target) = (format!("{at}.{key}"), self.target());
        absolute(&key, target)?;
        if target.components().any(|part| part == Component::ParentDir) {
            return Err(refuse(key, format!("expected a path without \"..\", found {target:?}")));
        }
        if target.components().count() == 1 {
            return Err(refuse(key, "the root itself cannot be a device"));
        }
        let DeviceAccess { read, write, mknod } = self.access;
        if !(read || write || mknod) {
            return Err(refuse(format!("{at}.access"), unlike_access("")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceAccess, HostDevice};

    fn device(path: &str, inside: Option<&str>, access: &str) -> HostDevice {
        let access = access.parse().unwrap();
        HostDevice { path: path.into(), container_path: inside.map(Into::into), access }
    }

    #[test]
    fn forms_of_docker_are_read() {
        for (text, expected) in [
            ("/dev/fuse", device("/dev/fuse", None, "rwm")),
            ("/dev/fuse:r", device("/dev/fuse", None, "r")),
            ("/dev/fuse:mw", device("/dev/fuse", None, "wm")),
            ("/dev/sda:/dev/xvdc", device("/dev/sda", Some("/dev/xvdc"), "rwm")),
            ("/dev/sda:/dev/xvdc:rw", device("/dev/sda", Some("/dev/xvdc"), "rw")),
            // A path, and no letters of access.
            ("/dev/sda:rx", device("/dev/sda", Some("rx"), "rwm")),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["", ":", "/dev/sda:", ":/dev/sda", "/dev/sda:/a:r:w", "/a::r"] {
            let error = text.parse::<HostDevice>().unwrap_err();
            assert!(error.starts_with("expected HOST[:CONTAINER][:rwm]"), "{text}: {error}");
        }
        for access in ["", "x", "rr", "rwmr", "r w", "R"] {
            let expected = format!("expected some of the letters r, w and m, found {access:?}");
            assert_eq!(access.parse::<DeviceAccess>(), Err(expected.clone()));
            let text = format!("/dev/sda:/dev/x:{access}");
            assert_eq!(text.parse::<HostDevice>(), Err(expected));
        }
    }

    #[test]
    fn wrong_devices_are_refused_in_words() {
        let none = DeviceAccess { read: false, write: false, mknod: false };
        for (device, message) in [
            (device("x", None, "r"), "d.path: expected an absolute path, found \"x\""),
            (device("/a\0", None, "r"), "d.path: contains a NUL byte"),
            (
                device("/a", Some("b"), "r"),
                "d.container_path: expected an absolute path, found \"b\"",
            ),
            (
                device("/dev/../a", None, "r"),
                "d.path: expected a path without \"..\", found \"/dev/../a\"",
            ),
            (
                device("/a", Some("/b/.."), "r"),
                "d.container_path: expected a path without \"..\", found \"/b/..\"",
            ),
            (device("/a", Some("//"), "r"), "d.container_path: the root itself cannot be a device"),
            (
                HostDevice { access: none, ..device("/a", None, "r") },
                "d.access: expected some of the letters r, w and m, found \"\"",
            ),
        ] {
            assert_eq!(device.validate("d").unwrap_err().message(), message);
        }
        let inside = device("/dev/../a", Some("/b"), "r");
        assert!(inside.validate("d").is_ok());
    }
}
