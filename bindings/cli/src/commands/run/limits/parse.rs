//! Values of the limit options that have a form of their own.

use std::str::FromStr;

use libctr::spec::Device;

use crate::quantity::size;

/// A number, or -1 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Unlimited,
    Limit(u64),
}

/// Reads a count, where Docker also takes 0 for no limit.
pub(super) fn count(text: &str) -> Result<Count, String> {
    match text {
        "-1" | "0" | "unlimited" => Ok(Count::Unlimited),
        number => number.parse().map(Count::Limit).map_err(|_| "expected a number or -1".into()),
    }
}

/// Reads a size, or -1.
pub(super) fn swap(text: &str) -> Result<Count, String> {
    match text {
        "-1" => Ok(Count::Unlimited),
        text => size(text).map(Count::Limit).map_err(|error| format!("{error}, or -1")),
    }
}

/// `NAME=LIMIT[:LIMIT]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ulimit {
    pub(super) resource: Resource,
    pub(super) limit: u64,
}

/// What the library can limit for each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Nofile,
    Core,
    Stack,
    Fsize,
}

impl FromStr for Ulimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Ulimit, String> {
        let (name, limits) = text.split_once('=').ok_or("expected NAME=LIMIT")?;
        let resource = match name {
            "nofile" => Resource::Nofile,
            "core" => Resource::Core,
            "stack" => Resource::Stack,
            "fsize" => Resource::Fsize,
            _ => {
                return Err(
                    "expected nofile, core, stack or fsize; --pids-limit counts processes".into()
                );
            }
        };
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        if soft != hard {
            return Err("a soft limit below the hard one is not supported: give one number".into());
        }
        let limit = match soft {
            // The most that the library passes on; no file grows so large.
            "-1" | "unlimited" if resource != Resource::Nofile => i64::MAX.unsigned_abs(),
            number => number.parse().map_err(|_| "expected a number as the limit".to_owned())?,
        };
        Ok(Ulimit { resource, limit })
    }
}

/// Reads `DEVICE:SIZE`.
pub(super) fn device_size(text: &str) -> Result<(Device, u64), String> {
    device(text, size)
}

/// Reads `DEVICE:NUMBER`.
pub(super) fn device_operations(text: &str) -> Result<(Device, u64), String> {
    device(text, |number| number.parse().map_err(|_| "expected DEVICE:NUMBER".to_owned()))
}

/// A device is a path or a pair of numbers, which has a colon itself.
fn device<T>(text: &str, rate: impl Fn(&str) -> Result<T, String>) -> Result<(Device, T), String> {
    let (device, number) = text.rsplit_once(':').ok_or("expected a device, a colon and a rate")?;
    let device = match device.split_once(':') {
        _ if device.starts_with('/') => Some(Device::Path(device.into())),
        Some((major, minor)) => {
            major.parse().ok().zip(minor.parse().ok()).map(|(a, b)| Device::Number(a, b))
        }
        None => None,
    };
    let device = device.ok_or("expected a device such as /dev/sda or 8:0")?;
    Ok((device, rate(number)?))
}

#[cfg(test)]
mod tests {
    use super::{Count, Resource, Ulimit, count, device_operations, device_size, swap};
    use libctr::spec::Device;

    #[test]
    fn counts_may_be_unlimited() {
        assert_eq!(count("-1"), Ok(Count::Unlimited));
        assert_eq!(count("100"), Ok(Count::Limit(100)));
        assert_eq!(swap("-1"), Ok(Count::Unlimited));
        assert_eq!(swap("1g"), Ok(Count::Limit(1 << 30)));
        assert!(count("-2").is_err());
        assert!(swap("-2").is_err());
    }

    #[test]
    fn ulimits_have_one_number() {
        let read = |text: &str| text.parse::<Ulimit>();
        assert_eq!(read("nofile=1024"), Ok(Ulimit { resource: Resource::Nofile, limit: 1024 }));
        assert_eq!(read("core=5:5"), Ok(Ulimit { resource: Resource::Core, limit: 5 }));
        assert_eq!(read("core=-1").map(|ulimit| ulimit.limit), Ok(i64::MAX.unsigned_abs()));
        for text in ["nofile", "nofile=1:2", "nproc=5", "nofile=-1", "stack=x"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn devices_are_paths_or_numbers() {
        assert_eq!(device_size("/dev/sda:1m"), Ok((Device::Path("/dev/sda".into()), 1 << 20)));
        assert_eq!(device_operations("8:0:50"), Ok((Device::Number(8, 0), 50)));
        for text in ["sda:1m", "8:1m", "/dev/sda", "/dev/sda:", ":1"] {
            assert!(device_size(text).is_err(), "{text}");
        }
    }
}
