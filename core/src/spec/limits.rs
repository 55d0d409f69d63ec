//! Limits of one container: control group, time, output, rlimits.
//!
//! Stage `spec`, host side. Values and their ranges only; the cgroup, the
//! helper and the reader of the pipes enforce them. A limit that cannot be
//! enforced is an error before anything runs. Sources: cgroup-v2.rst of the
//! kernel, getrlimit(2).

mod cpuset;
mod io;

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use self::cpuset::{MAX_CPUS, is_cpu_list};
pub use self::io::{Device, Io, IoDevice};
use super::document::found;
use super::size::{bytes, optional_bytes, optional_seconds, seconds};
use super::validate::refuse;
use crate::Result;

/// The longest duration: 100 years, so that nanoseconds fit an `i64`.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The kernel's bound for process ids (`PID_MAX_LIMIT`).
const MAX_PIDS: u32 = 4_194_304;

/// What a container may use. `None` means not limited, unless said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of all processes together, page cache and `memory` roots
    /// included, in bytes (`memory.max`). At least 1.
    #[serde(deserialize_with = "optional_bytes")]
    pub memory: Option<u64>,
    /// Swap in bytes *in addition to* `memory` (`memory.swap.max`). 0 means
    /// no swap. `None`: no swap when `memory` is given, as far as the kernel
    /// can limit swap, so that the memory limit is one; else not limited.
    #[serde(deserialize_with = "optional_bytes")]
    pub swap: Option<u64>,
    /// Processes and threads together, 1 to 4194304. Default 4096. In JSON
    /// `-1`, `"unlimited"` or `null` for `None`.
    #[serde(with = "pids")]
    pub pids: Option<u32>,
    /// Processors' worth of time per wall time: 1.5 is one and a half
    /// processors. 0.01 to 8192: the kernel's shortest share is 1 ms in each
    /// 100 ms.
    pub cpus: Option<f64>,
    /// Share of processor time against other containers when all want more
    /// than there is: 1 to 10000, the kernel's default is 100.
    pub cpu_weight: Option<u32>,
    /// Processors that may be used, as the kernel writes lists: `"0-3,5"`.
    pub cpuset: Option<String>,
    /// Input and output of block devices.
    pub io: Io,
    /// Time from the program's start to a forced end, in seconds.
    #[serde(with = "optional_seconds")]
    pub wall_time: Option<Duration>,
    /// Processor time (user and system) of all processes, in seconds.
    #[serde(with = "optional_seconds")]
    pub cpu_time: Option<Duration>,
    /// Seconds between SIGTERM and SIGKILL when a deadline has passed. The
    /// default 0 kills at once.
    #[serde(with = "seconds")]
    pub grace: Duration,
    /// Bytes that the program may write to each of stdout and stderr where
    /// they are captured. At least 1.
    #[serde(deserialize_with = "optional_bytes")]
    pub output: Option<u64>,
    /// Which part of the output is kept when `output` is reached.
    pub keep: Keep,
    /// Bytes of a kept container's log on disk. At least 1; default 16 MiB.
    #[serde(deserialize_with = "bytes")]
    pub log: u64,
    /// Open files per process (`RLIMIT_NOFILE`). At least 1; `None` keeps
    /// the host's limit.
    pub nofile: Option<u64>,
    /// Size of a core file in bytes (`RLIMIT_CORE`). Default 0: none is
    /// written; `None` (JSON `null`) keeps the host's limit.
    #[serde(deserialize_with = "optional_bytes")]
    pub core: Option<u64>,
    /// Stack of the main thread in bytes (`RLIMIT_STACK`). At least 1;
    /// `None` keeps the host's limit.
    #[serde(deserialize_with = "optional_bytes")]
    pub stack: Option<u64>,
    /// Size of any file that is written, in bytes (`RLIMIT_FSIZE`). At least
    /// 1; `None` keeps the host's limit.
    #[serde(deserialize_with = "optional_bytes")]
    pub fsize: Option<u64>,
}

/// The part of an output that is kept when it is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first bytes; the container ends as `output_limit` at the limit.
    #[default]
    Head,
    /// The last bytes; the container goes on and older output is dropped.
    Tail,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: None,
            swap: None,
            pids: Some(4096),
            cpus: None,
            cpu_weight: None,
            cpuset: None,
            io: Io::default(),
            wall_time: None,
            cpu_time: None,
            grace: Duration::ZERO,
            output: None,
            keep: Keep::Head,
            log: 16 << 20,
            nofile: None,
            core: Some(0),
            stack: None,
            fsize: None,
        }
    }
}

impl Limits {
    pub(super) fn validate(&self) -> Result<()> {
        for (key, limit, least) in [
            ("memory", self.memory, 1),
            ("swap", self.swap, 0),
            ("output", self.output, 1),
            ("log", Some(self.log), 1),
            ("nofile", self.nofile, 1),
            ("core", self.core, 0),
            ("stack", self.stack, 1),
            ("fsize", self.fsize, 1),
        ] {
            at_least(&format!("limits.{key}"), limit, least)?;
        }
        if let Some(pids) = self.pids
            && !(1..=MAX_PIDS).contains(&pids)
        {
            return Err(refuse("limits.pids", format!("expected 1 to {MAX_PIDS}, found {pids}"))
                .with_hint("\"unlimited\" lifts the limit"));
        }
        if let Some(cpus) = self.cpus
            && !(0.01..=f64::from(MAX_CPUS)).contains(&cpus)
        {
            return Err(refuse(
                "limits.cpus",
                format!("expected 0.01 to {MAX_CPUS}, found {cpus}"),
            ));
        }
        weight("limits.cpu_weight", self.cpu_weight)?;
        if let Some(list) = &self.cpuset
            && !is_cpu_list(list)
        {
            return Err(refuse(
                "limits.cpuset",
                format!("expected a list of processors such as \"0-3,5\", found {list:?}"),
            ));
        }
        for (key, time) in [("wall_time", self.wall_time), ("cpu_time", self.cpu_time)] {
            if time == Some(Duration::ZERO) {
                return Err(refuse(format!("limits.{key}"), "expected more than 0 seconds")
                    .with_hint("leave the key out for no limit"));
            }
        }
        for (key, time) in [
            ("wall_time", self.wall_time),
            ("cpu_time", self.cpu_time),
            ("grace", Some(self.grace)),
        ] {
            if time.is_some_and(|time| time > MAX_DURATION) {
                let most = MAX_DURATION.as_secs();
                return Err(refuse(
                    format!("limits.{key}"),
                    format!("expected at most {most} seconds"),
                ));
            }
        }
        self.io.validate()
    }
}

pub(super) fn at_least(key: &str, limit: Option<u64>, least: u64) -> Result<()> {
    match limit {
        Some(limit) if limit < least => {
            Err(refuse(key, format!("expected at least {least}, found {limit}"))
                .with_hint("leave the key out for no limit"))
        }
        Some(limit) if limit > i64::MAX.unsigned_abs() => {
            Err(refuse(key, format!("expected at most {}, found {limit}", i64::MAX)))
        }
        _ => Ok(()),
    }
}

pub(super) fn weight(key: &str, weight: Option<u32>) -> Result<()> {
    match weight {
        Some(weight) if !(1..=10_000).contains(&weight) => {
            Err(refuse(key, format!("expected 1 to 10000, found {weight}")))
        }
        _ => Ok(()),
    }
}

/// A number, or `-1`, `"unlimited"`, `null` for none.
mod pids {
    use super::{Deserialize, Deserializer, Serializer, Value, found};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(
        pids: &Option<u32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match pids {
            Some(pids) => serializer.serialize_u32(*pids),
            None => serializer.serialize_str("unlimited"),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u32>, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let pids = match &value {
            Value::Null => return Ok(None),
            Value::String(text) if text == "unlimited" => return Ok(None),
            Value::Number(number) if number.as_i64() == Some(-1) => return Ok(None),
            Value::Number(number) => number.as_u64().and_then(|pids| u32::try_from(pids).ok()),
            _ => None,
        };
        pids.map(Some).ok_or_else(|| {
            D::Error::custom(format!("expected a number or \"unlimited\", found {}", found(&value)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;
    use crate::ErrorKind;
    use std::time::Duration;

    fn refusal(change: impl FnOnce(&mut Limits)) -> String {
        let mut limits = Limits::default();
        limits.validate().unwrap();
        change(&mut limits);
        let error = limits.validate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.to_string()
    }

    #[test]
    fn zero_and_too_much_are_refused() {
        assert_eq!(
            refusal(|limits| limits.memory = Some(0)),
            "spec: limits.memory: expected at least 1, found 0; leave the key out for no limit"
        );
        assert!(
            refusal(|limits| limits.swap = Some(u64::MAX))
                .contains("limits.swap: expected at most")
        );
        assert!(refusal(|limits| limits.pids = Some(0)).ends_with("\"unlimited\" lifts the limit"));
        assert!(refusal(|limits| limits.cpu_weight = Some(10_001)).contains("expected 1 to 10000"));
        assert!(
            refusal(|limits| limits.wall_time = Some(Duration::ZERO)).contains("limits.wall_time")
        );
        assert!(
            refusal(|limits| limits.grace = Duration::MAX)
                .contains("limits.grace: expected at most")
        );
        for cpus in [0.0, 0.009, -1.0, f64::NAN, f64::INFINITY] {
            assert!(refusal(|limits| limits.cpus = Some(cpus)).contains("limits.cpus"));
        }
    }

    #[test]
    fn zero_is_a_value_for_swap_core_and_grace() {
        let limits =
            Limits { swap: Some(0), core: Some(0), grace: Duration::ZERO, ..Limits::default() };
        limits.validate().unwrap();
    }
}
