//! `ctrun image import`.

use std::path::PathBuf;

use clap::Args;
use libctr::image::ImportOptions;

use super::load::source;
use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::output::progress::Bars;

/// Make an image of one layer from a root file system: a tar archive or a
/// directory
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// File or directory; - is standard input
    #[arg(value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    path: PathBuf,
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    name: Option<String>,
    /// Program of its containers: a word, or a JSON array of words
    #[arg(long, value_name = "WORDS", value_parser = words)]
    entrypoint: Option<Words>,
    /// Arguments of its containers, likewise
    #[arg(long, value_name = "WORDS", value_parser = words)]
    cmd: Option<Words>,
    /// Variable of its containers
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Working directory of its containers
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User of its containers
    #[arg(short, long)]
    user: Option<String>,
    /// Label of the image
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
}

type Words = Box<[String]>;

fn words(text: &str) -> std::result::Result<Words, String> {
    if !text.starts_with('[') {
        return Ok(Box::new([text.to_owned()]));
    }
    serde_json::from_str(text).map_err(|_| "expected a word, or a JSON array of words".to_owned())
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    let source = source(Some(&arguments.path))?;
    let runtime = global.runtime()?;
    let bars = Bars::new(global);
    let report = |progress| bars.show(progress);
    let list = |words: &Option<Words>| words.as_deref().unwrap_or_default().to_vec();
    let mut options = ImportOptions::default();
    options.entrypoint = list(&arguments.entrypoint);
    options.cmd = list(&arguments.cmd);
    options.env.clone_from(&arguments.env);
    options.working_dir.clone_from(&arguments.workdir);
    options.user.clone_from(&arguments.user);
    for label in &arguments.labels {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        options.labels.insert(key.to_owned(), value.to_owned());
    }
    options.progress = Some(&report);
    let imported = runtime.images()?.import(source, arguments.name.as_deref(), &options);
    bars.clear();
    let imported = imported?;
    if global.is_json() {
        output::json(&imported)?
    } else {
        output::line(&imported.id)?
    }
    Ok(ExitStatus::Success)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_one_or_an_array() {
        assert_eq!(*words("sh -c x").unwrap(), ["sh -c x"]);
        assert_eq!(*words("[\"sh\", \"-c\"]").unwrap(), ["sh", "-c"]);
        assert!(words("[1]").is_err());
    }
}
