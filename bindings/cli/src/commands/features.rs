//! `ctrun features`.

mod probe;

use clap::Args;

use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::output::table::Table;

/// Show what this kernel and this build can do, found out by looking
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(global: &Global, _arguments: &Arguments) -> Result<ExitStatus> {
    let features = probe::look();
    if global.is_json() {
        output::json(&features)?;
        return Ok(ExitStatus::Success);
    }
    let mut table = Table::new(&["FEATURE", "AVAILABLE", "DETAIL"]);
    for feature in features {
        let available = if feature.available { "yes" } else { "no" };
        table.row([feature.name, available.to_owned(), feature.detail]);
    }
    output::bytes(table.render().as_bytes())?;
    Ok(ExitStatus::Success)
}
