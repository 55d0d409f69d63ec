//! The plan as an OCI runtime document, `config.json` in the state directory:
//! what the helper executes, in the words of the OCI runtime specification
//! (config.md, config-linux.md), for `inspect` and for other tools.
//!
//! Made from the plan itself, so the two cannot differ. It is for reading:
//! text that is no UTF-8 is shown with replacement characters, and sources of
//! overlays are the host's paths.

mod devices;

use std::collections::HashSet;
use std::path::PathBuf;

use libctr_helper::plan::{Body, Field, Kind, Plan, flag, option, strict};
use nix::libc;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxIdMapping,
    LinuxIdMappingBuilder, LinuxMemoryBuilder, LinuxNamespaceBuilder, LinuxNamespaceType,
    LinuxPidsBuilder, LinuxResourcesBuilder, Mount, MountBuilder, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use super::seccomp::Filter;
use super::security;
use crate::cgroup::DeviceFilter;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::spec::{Limits, RunSpec};

/// The version of the specification that the document follows.
const VERSION: &str = "1.2.0";

/// The document as JSON. `devices`, `calls`: the filters that are in place.
pub(super) fn document(
    plan: &[u8],
    spec: &RunSpec,
    devices: Option<&DeviceFilter>,
    calls: Option<&Filter>,
) -> Result<Vec<u8>> {
    let failed = |text: String| Error::new(Stage::State, ErrorKind::Internal, text);
    let plan = Plan::new(plan).ok_or_else(|| failed("the plan cannot be read back".into()))?;
    let document = render(plan, spec, devices, calls)
        .map_err(|error| failed(format!("config.json: {error}")))?;
    serde_json::to_vec(&document).map_err(|error| failed(format!("config.json: {error}")))
}

fn render(
    plan: Plan<'_>,
    spec: &RunSpec,
    devices: Option<&DeviceFilter>,
    calls: Option<&Filter>,
) -> std::result::Result<Spec, OciSpecError> {
    let number = |field| plan.get(field).unwrap_or(0);
    let id = |field| u32::try_from(number(field)).unwrap_or(u32::MAX);
    let user = UserBuilder::default()
        .uid(id(Field::Uid))
        .gid(id(Field::Gid))
        .umask(id(Field::Umask))
        .additional_gids(plan.of(Kind::Group).filter_map(|mut body| body.u32()).collect::<Vec<_>>())
        .build()?;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(named(number(Field::CapBounding)))
        .effective(named(number(Field::CapEffective)))
        .permitted(named(number(Field::CapEffective)))
        .inheritable(named(number(Field::CapInheritable)))
        .ambient(named(number(Field::CapAmbient)))
        .build()?;
    let process = ProcessBuilder::default()
        .terminal(plan.has(flag::TERMINAL))
        .user(user)
        .args(texts(plan, Kind::Argument))
        .env(texts(plan, Kind::Environment))
        .cwd(texts(plan, Kind::Cwd).pop().unwrap_or_else(|| "/".into()))
        .capabilities(capabilities)
        .rlimits(rlimits(plan)?)
        .no_new_privileges(plan.has(flag::NO_NEW_PRIVS))
        .build()?;
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(plan)?)
        .devices(devices::nodes(plan)?)
        .resources(resources(&spec.limits, devices)?)
        .masked_paths(absolute(plan, Kind::Mask))
        .readonly_paths(absolute(plan, Kind::ReadOnly));
    if let Some(group) = group(plan) {
        linux = linux.cgroups_path(group);
    }
    if let [Some(uids), Some(gids)] = id_maps(plan)? {
        linux = linux.uid_mappings(uids).gid_mappings(gids);
    }
    if let Some(Filter { document, .. }) = calls {
        linux = linux.seccomp(document.clone());
    }
    let annotations = spec.annotations.clone().into_iter();
    SpecBuilder::default()
        .version(VERSION)
        .root(RootBuilder::default().path(root(plan)).readonly(plan.has(flag::READ_ONLY)).build()?)
        .mounts(mounts(plan)?)
        .process(process)
        .hostname(texts(plan, Kind::Hostname).pop().unwrap_or_default())
        .annotations(annotations.collect::<std::collections::HashMap<_, _>>())
        .linux(linux.build()?)
        .build()
}

fn text(body: &mut Body<'_>) -> String {
    body.string().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

fn texts(plan: Plan<'_>, kind: Kind) -> Vec<String> {
    plan.of(kind).map(|mut body| text(&mut body)).collect()
}

fn absolute(plan: Plan<'_>, kind: Kind) -> Vec<String> {
    texts(plan, kind).into_iter().map(|path| format!("/{path}")).collect()
}

fn rlimits(plan: Plan<'_>) -> std::result::Result<Vec<PosixRlimit>, OciSpecError> {
    let mut limits = Vec::new();
    for mut body in plan.of(Kind::Rlimit) {
        let kind = match body.u32().unwrap_or(u32::MAX) {
            libc::RLIMIT_NOFILE => PosixRlimitType::RlimitNofile,
            libc::RLIMIT_CORE => PosixRlimitType::RlimitCore,
            libc::RLIMIT_STACK => PosixRlimitType::RlimitStack,
            libc::RLIMIT_FSIZE => PosixRlimitType::RlimitFsize,
            _ => continue,
        };
        let (soft, hard) = (body.u64().unwrap_or(0), body.u64().unwrap_or(0));
        limits.push(PosixRlimitBuilder::default().typ(kind).soft(soft).hard(hard).build()?);
    }
    Ok(limits)
}

fn named(set: u64) -> HashSet<Capability> {
    let numbers = security::CAPABILITIES.iter().enumerate();
    numbers.filter(|(number, _)| set & (1 << number) != 0).map(|(_, name)| *name).collect()
}

/// The uppermost lower directory, or the directory that is the root.
fn root(plan: Plan<'_>) -> PathBuf {
    if let Some(mut body) = plan.of(Kind::RootBind).next() {
        return text(&mut body).into();
    }
    let Some(mut body) = plan.of(Kind::RootOverlay).next() else { return PathBuf::from("/") };
    body.u32();
    let [_target, _upper, _work] = [(); 3].map(|()| text(&mut body));
    body.u32();
    text(&mut body).into()
}

fn group(plan: Plan<'_>) -> Option<PathBuf> {
    if let Some(mut body) = plan.of(Kind::GroupV2).next() {
        return Some(text(&mut body).into());
    }
    let mut body = plan.of(Kind::GroupV1).next()?;
    body.u32();
    Some(text(&mut body).into())
}

fn namespaces(
    plan: Plan<'_>,
) -> std::result::Result<Vec<oci_spec::runtime::LinuxNamespace>, OciSpecError> {
    let flags = plan.get(Field::CloneFlags).unwrap_or(0);
    let has = |bit: libc::c_int| flags & u64::from(bit.cast_unsigned()) != 0;
    let made = [
        (has(libc::CLONE_NEWPID), LinuxNamespaceType::Pid),
        (has(libc::CLONE_NEWNS), LinuxNamespaceType::Mount),
        (has(libc::CLONE_NEWUTS), LinuxNamespaceType::Uts),
        (has(libc::CLONE_NEWIPC), LinuxNamespaceType::Ipc),
        (has(libc::CLONE_NEWNET), LinuxNamespaceType::Network),
        (plan.has(flag::CGROUP_NAMESPACE), LinuxNamespaceType::Cgroup),
        (has(libc::CLONE_NEWUSER), LinuxNamespaceType::User),
    ];
    let made = made.into_iter().filter(|(made, _)| *made);
    made.map(|(_, kind)| LinuxNamespaceBuilder::default().typ(kind).build()).collect()
}

/// The ids of the user namespace: of users, and of groups.
fn id_maps(plan: Plan<'_>) -> std::result::Result<[Option<Vec<LinuxIdMapping>>; 2], OciSpecError> {
    let mut found = [None, None];
    // Of both kinds users come first.
    let mut tools = plan.of(Kind::IdTool);
    for (place, name) in found.iter_mut().zip(["uid_map", "gid_map"]) {
        let written = plan
            .of(Kind::IdMap)
            .find_map(|mut body| (text(&mut body) == name).then(|| text(&mut body)));
        let arguments = || {
            let mut body = tools.next()?;
            let _tool = body.string()?;
            let words = std::iter::from_fn(|| body.string());
            Some(words.map(|word| word.to_string_lossy().into_owned() + " ").collect())
        };
        let Some(numbers) = written.or_else(arguments) else { continue };
        let numbers: Vec<u32> =
            numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let mapping = |map: &[u32; 3]| {
            LinuxIdMappingBuilder::default()
                .container_id(map[0])
                .host_id(map[1])
                .size(map[2])
                .build()
        };
        let mappings: std::result::Result<_, _> =
            numbers.as_chunks().0.iter().map(mapping).collect();
        *place = Some(mappings?);
    }
    Ok(found)
}

/// Mounts in their order; what the host's and the container's paths are is
/// said as the specification has it.
fn mounts(plan: Plan<'_>) -> std::result::Result<Vec<Mount>, OciSpecError> {
    let mut mounts = Vec::new();
    for record in plan.records() {
        let mut body = record.body;
        let (kind, source, target, options) = match record.kind {
            Kind::Filesystem => {
                let flags = body.u64().unwrap_or(0) & !(strict::NO_SYMLINKS | strict::KERNEL);
                let (kind, target) = (text(&mut body), text(&mut body));
                (kind.clone(), kind, target, words(flags, &text(&mut body)))
            }
            Kind::Bind | Kind::Overlay => {
                let flags = body.u32().unwrap_or(0);
                let (source, target) = (text(&mut body), text(&mut body));
                let mode = if flags & option::READ_ONLY != 0 { "ro" } else { "rw" };
                let kind = if record.kind == Kind::Bind { "bind" } else { "overlay" };
                let mut options = vec![mode.to_owned()];
                if flags & option::RECURSIVE != 0 {
                    options.insert(0, "rbind".into());
                }
                let nodev = flags & option::NODEV != 0 || record.kind == Kind::Overlay;
                let (nosuid, noexec) = (flags & option::NOSUID != 0, flags & option::NOEXEC != 0);
                let words = [(nosuid, "nosuid"), (nodev, "nodev"), (noexec, "noexec")];
                options.extend(words.iter().filter(|(is, _)| *is).map(|(_, word)| (*word).into()));
                (kind.into(), source, target, options)
            }
            _ => continue,
        };
        let mount = MountBuilder::default()
            .destination(format!("/{target}"))
            .typ(kind)
            .source(source)
            .options(options);
        mounts.push(mount.build()?);
    }
    Ok(mounts)
}

fn words(flags: u64, data: &str) -> Vec<String> {
    let known = [
        (libc::MS_RDONLY, "ro"),
        (libc::MS_NOSUID, "nosuid"),
        (libc::MS_NODEV, "nodev"),
        (libc::MS_NOEXEC, "noexec"),
        (libc::MS_STRICTATIME, "strictatime"),
    ];
    let set = known.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, word)| *word);
    set.chain(data.split(',').filter(|word| !word.is_empty())).map(str::to_owned).collect()
}

fn resources(
    limits: &Limits,
    filter: Option<&DeviceFilter>,
) -> std::result::Result<oci_spec::runtime::LinuxResources, OciSpecError> {
    let bytes = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
    let mut resources = LinuxResourcesBuilder::default();
    if let Some(filter) = filter {
        resources = resources.devices(devices::rules(filter)?);
    }
    if let Some(memory) = limits.memory {
        // Here swap is the sum of both (config-linux.md, "Memory").
        let swap = memory.saturating_add(limits.swap.unwrap_or(0));
        let memory = LinuxMemoryBuilder::default().limit(bytes(memory)).swap(bytes(swap));
        resources = resources.memory(memory.build()?);
    }
    if let Some(pids) = limits.pids {
        resources = resources.pids(LinuxPidsBuilder::default().limit(i64::from(pids)).build()?);
    }
    let mut cpu = LinuxCpuBuilder::default();
    if let Some(cpus) = limits.cpus {
        // Whole microseconds of a period of 100 ms.
        let quota = format!("{:.0}", cpus * 100_000.0).parse::<i64>().unwrap_or(i64::MAX);
        cpu = cpu.quota(quota).period(100_000_u64);
    }
    if let Some(list) = &limits.cpuset {
        cpu = cpu.cpus(list.clone());
    }
    resources.cpu(cpu.build()?).build()
}
