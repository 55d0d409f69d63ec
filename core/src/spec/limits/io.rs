//! Limits of block devices.
//!
//! Stage `spec`, host side. Source: `io.max` and `io.weight` in cgroup-v2.rst
//! of the kernel. Paths are resolved to device numbers by the cgroup, not
//! here.

use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{at_least, weight};
use crate::Result;
use crate::spec::size::optional_bytes;
use crate::spec::text::Text;
use crate::spec::validate::{absolute, at_most, refuse};

/// Input and output of block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Io {
    /// Share of a device's time against other containers: 1 to 10000, the
    /// kernel's default is 100. `None` leaves the default.
    pub weight: Option<u32>,
    /// Limits per device; a device may be named once.
    pub devices: Vec<IoDevice>,
}

/// Limits of one block device; `None` means not limited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IoDevice {
    /// Which device.
    pub device: Device,
    /// Bytes read per second. At least 1.
    #[serde(default, deserialize_with = "optional_bytes")]
    pub read_bps: Option<u64>,
    /// Bytes written per second. At least 1.
    #[serde(default, deserialize_with = "optional_bytes")]
    pub write_bps: Option<u64>,
    /// Read operations per second. At least 1.
    #[serde(default)]
    pub read_iops: Option<u64>,
    /// Write operations per second. At least 1.
    #[serde(default)]
    pub write_iops: Option<u64>,
}

/// A block device: a device file of the host or a pair of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// An absolute path on the host, such as `/dev/sda`.
    Path(PathBuf),
    /// Major and minor number; in JSON `"8:0"`.
    Number(u32, u32),
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Device::Path(path) => Text::from(path.as_os_str()).serialize(serializer),
            Device::Number(major, minor) => serializer.serialize_str(&format!("{major}:{minor}")),
        }
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Device, D::Error> {
        let text = Text::deserialize(deserializer)?;
        if text.to_str().is_none_or(|text| text.starts_with('/')) {
            return Ok(Device::Path(text.into_os_string().into()));
        }
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        let parts = text.to_str().and_then(|text| text.split_once(':'));
        parts
            .and_then(|(major, minor)| Some(Device::Number(number(major)?, number(minor)?)))
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "expected a path such as \"/dev/sda\" or \"8:0\", found {text:?}"
                ))
            })
    }
}

impl Io {
    pub(super) fn validate(&self) -> Result<()> {
        weight("limits.io.weight", self.weight)?;
        at_most("limits.io.devices", self.devices.len(), 256)?;
        for (index, item) in self.devices.iter().enumerate() {
            let at = format!("limits.io.devices[{index}]");
            if let Device::Path(path) = &item.device {
                absolute(&format!("{at}.device"), path)?;
            }
            if self.devices[..index].iter().any(|before| before.device == item.device) {
                return Err(refuse(format!("{at}.device"), "the device is named twice"));
            }
            let limits = [
                ("read_bps", item.read_bps),
                ("write_bps", item.write_bps),
                ("read_iops", item.read_iops),
                ("write_iops", item.write_iops),
            ];
            if limits.iter().all(|(_, limit)| limit.is_none()) {
                return Err(refuse(
                    at,
                    "expected at least one of read_bps, write_bps, read_iops, write_iops",
                ));
            }
            for (key, limit) in limits {
                at_least(&format!("{at}.{key}"), limit, 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Device, Io, IoDevice};

    #[test]
    fn devices_are_paths_or_numbers() {
        let read = |json: &str| serde_json::from_str::<Device>(json);
        assert_eq!(read("\"/dev/sda\"").unwrap(), Device::Path("/dev/sda".into()));
        assert_eq!(read("\"259:1\"").unwrap(), Device::Number(259, 1));
        for json in ["\"sda\"", "\"8:\"", "\":0\"", "\"8:+1\"", "\"8:0:1\"", "\"\"", "8"] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_device_without_limits_or_named_twice_is_refused() {
        let device = IoDevice {
            device: Device::Number(8, 0),
            read_bps: Some(1),
            write_bps: None,
            read_iops: None,
            write_iops: None,
        };
        let message = |devices| Io { weight: None, devices }.validate().unwrap_err().to_string();
        let twice = message(vec![device.clone(), device.clone()]);
        assert_eq!(twice, "spec: limits.io.devices[1].device: the device is named twice");
        let idle = message(vec![IoDevice { read_bps: None, ..device.clone() }]);
        assert!(idle.contains("expected at least one of"), "{idle}");
        let zero = message(vec![IoDevice { write_iops: Some(0), ..device }]);
        assert!(zero.contains("limits.io.devices[0].write_iops: expected at least 1"), "{zero}");
    }
}
