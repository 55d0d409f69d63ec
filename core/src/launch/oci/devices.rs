//! `linux.devices` and `linux.resources.devices` of the document.

use libctr_helper::plan::{Kind, Plan};
use nix::libc;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use super::text;
use crate::cgroup::{DeviceFilter, DeviceKind};

/// The nodes that are made, the default ones among them.
pub(super) fn nodes(plan: Plan<'_>) -> Result<Vec<LinuxDevice>, OciSpecError> {
    let mut nodes = Vec::new();
    for mut body in plan.of(Kind::Device) {
        let [_flags, mode, uid, gid, major, minor] = [(); 6].map(|()| body.u32().unwrap_or(0));
        let _source = text(&mut body);
        let block = mode & libc::S_IFMT == libc::S_IFBLK;
        let node = LinuxDeviceBuilder::default()
            .path(format!("/{}", text(&mut body)))
            .typ(if block { LinuxDeviceType::B } else { LinuxDeviceType::C })
            .major(i64::from(major))
            .minor(i64::from(minor))
            .file_mode(mode & !libc::S_IFMT)
            .uid(uid)
            .gid(gid);
        nodes.push(node.build()?);
    }
    Ok(nodes)
}

/// The rules, in order: all is denied, then some is allowed.
pub(super) fn rules(filter: &DeviceFilter) -> Result<Vec<LinuxDeviceCgroup>, OciSpecError> {
    let deny = LinuxDeviceCgroupBuilder::default().allow(false).access("rwm");
    let mut rules = vec![deny.build()?];
    for rule in filter.all() {
        let mut allow = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(match rule.kind {
                DeviceKind::Block => LinuxDeviceType::B,
                DeviceKind::Character => LinuxDeviceType::C,
            })
            .access(rule.access.to_string());
        if let Some(major) = rule.major {
            allow = allow.major(i64::from(major));
        }
        if let Some(minor) = rule.minor {
            allow = allow.minor(i64::from(minor));
        }
        rules.push(allow.build()?);
    }
    Ok(rules)
}
