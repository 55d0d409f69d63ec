//! `ctrun features`: what this version has, wherever it runs. What this machine
//! can do is for `ctrun doctor` to say.

use clap::Args;
use serde::Serialize;

use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::output::table::Table;

/// Show what this version can do; what this machine can do says `ctrun doctor`
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// One thing that a version may or may not have; the tests try each.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Feature {
    /// A dotted word, stable between versions.
    name: &'static str,
    available: bool,
    /// For people.
    detail: &'static str,
}

const fn has(name: &'static str, detail: &'static str) -> Feature {
    Feature { name, available: true, detail }
}

const fn lacks(name: &'static str) -> Feature {
    Feature { name, available: false, detail: "not in this version" }
}

const FEATURES: [Feature; 10] = [
    has("build.image.load", "oci and docker archives, oci layouts, root file systems"),
    lacks("build.image.pull"),
    lacks("build.network.nat"),
    has("build.rootless", "user namespaces, with subordinate ids where there are any"),
    has("build.user_namespace", "maps for root, with idmapped mounts"),
    has("build.seccomp", "the engines' default profile, OCI profiles"),
    has("build.landlock", "a wall behind the mounts"),
    has("build.devices", "devices, and a filter of them in the control group"),
    has("build.exec", "more programs in a container that runs"),
    has("build.degraded", "a process of the host behind Landlock, seccomp and limits"),
];

pub(crate) fn run(global: &Global, _arguments: &Arguments) -> Result<ExitStatus> {
    if global.is_json() {
        output::json(&FEATURES)?;
        return Ok(ExitStatus::Success);
    }
    let mut table = Table::new(&["FEATURE", "AVAILABLE", "DETAIL"]);
    for feature in FEATURES {
        let available = if feature.available { "yes" } else { "no" };
        table.row([feature.name, available, feature.detail].map(ToOwned::to_owned));
    }
    output::bytes(table.render().as_bytes())?;
    Ok(ExitStatus::Success)
}
