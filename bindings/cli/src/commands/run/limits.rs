//! Options of `run` about what the container may use.

mod parse;

use std::time::Duration;

use clap::Args;
use libctr::cgroup::weight_of_shares;
use libctr::spec::{Device, IoDevice, Limits, RunSpec};

use super::wrong;
use crate::quantity::{duration, size};
use parse::{Count, Resource, Ulimit, count, device_operations, device_size, swap};

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct Limiting {
    /// Memory, such as 256m
    #[arg(short, long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Memory and swap together; -1 does not limit swap [default: no swap]
    #[arg(long, value_name = "SIZE", value_parser = swap, allow_hyphen_values = true)]
    memory_swap: Option<Count>,
    /// Processors, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<f64>,
    /// Share of the processors when all want more than there is; 1024 is usual
    #[arg(short, long, value_name = "SHARES", conflicts_with = "cpu_weight",
          value_parser = clap::value_parser!(u32).range(2..=262_144))]
    cpu_shares: Option<u32>,
    /// The same as the kernel's weight, 1 to 10000; 100 is usual
    #[arg(long, value_name = "WEIGHT")]
    cpu_weight: Option<u32>,
    /// Processors that may be used, such as 0-3,5
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Processes and threads; -1 does not limit them [default: 4096]
    #[arg(long, visible_alias = "pids", value_name = "NUMBER", value_parser = count,
          allow_hyphen_values = true)]
    pids_limit: Option<Count>,
    /// Limit of each process: nofile, core, stack or fsize, as in nofile=1024
    #[arg(long = "ulimit", value_name = "NAME=LIMIT")]
    ulimits: Vec<Ulimit>,
    /// Bytes read per second, DEVICE:SIZE
    #[arg(long, value_name = "DEVICE:SIZE", value_parser = device_size)]
    device_read_bps: Vec<(Device, u64)>,
    /// Bytes written per second, DEVICE:SIZE
    #[arg(long, value_name = "DEVICE:SIZE", value_parser = device_size)]
    device_write_bps: Vec<(Device, u64)>,
    /// Read operations per second, DEVICE:NUMBER
    #[arg(long, value_name = "DEVICE:NUMBER", value_parser = device_operations)]
    device_read_iops: Vec<(Device, u64)>,
    /// Write operations per second, DEVICE:NUMBER
    #[arg(long, value_name = "DEVICE:NUMBER", value_parser = device_operations)]
    device_write_iops: Vec<(Device, u64)>,
    /// Time until the container is ended, such as 90s or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Processor time until the container is ended
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    cpu_time: Option<Duration>,
    /// Bytes of output, each of the two, until the container is ended
    #[arg(long, value_name = "SIZE", value_parser = size)]
    output_limit: Option<u64>,
    /// Time between asking the program to end and killing it [default: at once]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    stop_timeout: Option<Duration>,
    /// Bytes that a detached container's log keeps [default: 16m]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    log_size: Option<u64>,
}

impl Limiting {
    pub(super) fn apply(&self, spec: &mut RunSpec) -> libctr::Result<()> {
        let limits = &mut spec.limits;
        limits.memory = self.memory.or(limits.memory);
        if let Some(total) = self.memory_swap {
            limits.swap = Some(beyond(total, limits.memory)?);
        }
        limits.cpus = self.cpus.or(limits.cpus);
        limits.cpu_weight =
            self.cpu_shares.map(weight_of_shares).or(self.cpu_weight).or(limits.cpu_weight);
        limits.cpuset = self.cpuset_cpus.clone().or(limits.cpuset.take());
        match self.pids_limit {
            Some(Count::Unlimited) => limits.pids = None,
            Some(Count::Limit(pids)) => limits.pids = Some(u32::try_from(pids).unwrap_or(u32::MAX)),
            None => {}
        }
        for Ulimit { resource, limit } in &self.ulimits {
            *match resource {
                Resource::Nofile => &mut limits.nofile,
                Resource::Core => &mut limits.core,
                Resource::Stack => &mut limits.stack,
                Resource::Fsize => &mut limits.fsize,
            } = Some(*limit);
        }
        self.devices(limits);
        limits.wall_time = self.timeout.or(limits.wall_time);
        limits.cpu_time = self.cpu_time.or(limits.cpu_time);
        limits.output = self.output_limit.or(limits.output);
        limits.grace = self.stop_timeout.unwrap_or(limits.grace);
        limits.log = self.log_size.unwrap_or(limits.log);
        Ok(())
    }

    fn devices(&self, limits: &mut Limits) {
        for (device, rate) in &self.device_read_bps {
            entry(limits, device).read_bps = Some(*rate);
        }
        for (device, rate) in &self.device_write_bps {
            entry(limits, device).write_bps = Some(*rate);
        }
        for (device, rate) in &self.device_read_iops {
            entry(limits, device).read_iops = Some(*rate);
        }
        for (device, rate) in &self.device_write_iops {
            entry(limits, device).write_iops = Some(*rate);
        }
    }
}

/// The limits of a device, new where there are none yet.
fn entry<'a>(limits: &'a mut Limits, device: &Device) -> &'a mut IoDevice {
    let devices = &mut limits.io.devices;
    let place = devices.iter().position(|known| known.device == *device).unwrap_or_else(|| {
        devices.push(IoDevice {
            device: device.clone(),
            read_bps: None,
            write_bps: None,
            read_iops: None,
            write_iops: None,
        });
        devices.len() - 1
    });
    &mut devices[place]
}

/// Docker gives memory and swap together, the library swap alone.
fn beyond(total: Count, memory: Option<u64>) -> libctr::Result<u64> {
    let option = "--memory-swap";
    let memory = memory.ok_or_else(|| wrong(option, "needs --memory as well"))?;
    match total {
        // As much as a number of the kernel's can say.
        Count::Unlimited => Ok(i64::MAX.unsigned_abs() - memory.min(i64::MAX.unsigned_abs())),
        Count::Limit(total) => total.checked_sub(memory).ok_or_else(|| {
            wrong(option, format!("expected at least --memory, which is {memory}, found {total}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, beyond, entry};
    use libctr::spec::{Device, Limits};

    #[test]
    fn swap_is_what_goes_beyond_memory() {
        assert_eq!(beyond(Count::Limit(300), Some(200)).unwrap(), 100);
        assert_eq!(beyond(Count::Limit(200), Some(200)).unwrap(), 0);
        assert_eq!(beyond(Count::Unlimited, Some(7)).unwrap() + 7, i64::MAX.unsigned_abs());
        assert_eq!(
            beyond(Count::Limit(199), Some(200)).unwrap_err().to_string(),
            "spec: --memory-swap: expected at least --memory, which is 200, found 199"
        );
        assert_eq!(
            beyond(Count::Unlimited, None).unwrap_err().to_string(),
            "spec: --memory-swap: needs --memory as well"
        );
    }

    #[test]
    fn rates_of_one_device_are_one_entry() {
        let mut limits = Limits::default();
        entry(&mut limits, &Device::Number(8, 0)).read_bps = Some(1);
        entry(&mut limits, &Device::Number(8, 16)).read_bps = Some(2);
        entry(&mut limits, &Device::Number(8, 0)).write_bps = Some(3);
        let rates: Vec<_> =
            limits.io.devices.iter().map(|device| (device.read_bps, device.write_bps)).collect();
        assert_eq!(rates, [(Some(1), Some(3)), (Some(2), None)]);
    }
}
