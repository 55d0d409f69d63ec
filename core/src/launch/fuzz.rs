//! What the fuzz targets `plan`, `message` and `oci_spec` call.

use libctr_helper::fault::Fault;
use libctr_helper::plan::{Field, Kind};

use super::{oci, seccomp};
use crate::helper::{fault, plan::Plan};
use crate::spec::RunSpec;

/// Writes a plan as a launch does: numbers by field, payloads by kind.
#[must_use]
pub fn write(fields: &[(Field, u64)], records: &[(Kind, Vec<u8>)]) -> Vec<u8> {
    let mut plan = Plan::new();
    for (field, value) in fields {
        plan.set(*field, *value);
    }
    for (kind, payload) in records {
        plan.record(*kind, |body| {
            body.contents(payload);
        });
    }
    plan.to_bytes()
}

/// Shows a plan as `config.json`, if it is one.
#[must_use]
pub fn document(plan: &[u8]) -> Option<Vec<u8>> {
    oci::document(plan, &RunSpec::default(), None, None).ok()
}

/// The sentence of a fault in any plan.
#[must_use]
pub fn sentence(plan: &[u8], fault: Fault) -> String {
    fault::error(plan, fault).to_string()
}

/// The filter of system calls that a document asks for, as the bytes that the
/// kernel is given.
#[must_use]
pub fn filter(spec: &RunSpec, bounding: u64) -> Option<Vec<u8>> {
    seccomp::filter(spec, bounding).ok().flatten().map(|filter| filter.to_bytes())
}
