//! `ctrun image ls`.

use std::time::SystemTime;

use clap::Args;
use libctr::image::{Reference, Summary};

use crate::arguments::Global;
use crate::commands::short;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::output::table::Table;
use crate::quantity::{bytes, span};

const NONE: &str = "<none>";

/// List images
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let list = global.runtime()?.images()?.list()?;
    let id = |image: &Summary| {
        if arguments.no_trunc { image.id.clone() } else { short(&image.id).to_owned() }
    };
    if arguments.quiet {
        for image in &list {
            output::line(id(image))?;
        }
    } else if global.is_json() {
        output::json(&list)?;
    } else {
        let mut table = Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
        for image in &list {
            for (repository, tag) in names(image) {
                table.row([repository, tag, id(image), created(image), bytes(image.size)]);
            }
        }
        output::bytes(table.render().as_bytes())?;
    }
    Ok(ExitStatus::Success)
}

/// Repository and tag of each name, as short as people write them.
fn names(image: &Summary) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for name in &image.names {
        let familiar = Reference::parse(name).map_or_else(|_| name.clone(), |name| name.familiar());
        names.push(match familiar.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository.into(), tag.into()),
            _ => (familiar, NONE.into()),
        });
    }
    if names.is_empty() {
        names.push((NONE.into(), NONE.into()));
    }
    names
}

fn created(image: &Summary) -> String {
    let time = image.created.as_deref().and_then(|time| humantime::parse_rfc3339_weak(time).ok());
    let age = time.and_then(|time| SystemTime::now().duration_since(time).ok());
    age.map_or_else(|| "-".to_owned(), |age| format!("{} ago", span(age)))
}
