//! `ctrun ps`, also `ctrun ls`.

use std::str::FromStr;

use clap::Args;
use libctr::{Info, Outcome, Status};

use super::short;
use crate::arguments::Global;
use crate::exit::ExitStatus;
use crate::failure::Result;
use crate::output;
use crate::output::table::{Table, printable};
use crate::quantity::{ago, since, span};

/// The most characters of a command in a table.
const COMMAND: usize = 20;

/// List containers, the newest first
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Also those that have ended
    #[arg(short, long)]
    all: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Only those with name=PART, id=BEGINNING, label=KEY, label=KEY=VALUE or
    /// status=created|running|paused|exited; may be repeated
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<Filter>,
}

/// What a container must have to be shown.
#[derive(Clone, Debug)]
enum Filter {
    Name(String),
    Id(String),
    Label(String, Option<String>),
    Status(Status),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Filter, String> {
        let wrong = || "expected name=, id=, label= or status= and a value".to_owned();
        let (key, value) = text.split_once('=').ok_or_else(wrong)?;
        Ok(match (key, value) {
            ("name", name) => Filter::Name(name.trim_start_matches('/').into()),
            ("id", id) => Filter::Id(id.into()),
            ("label", label) => match label.split_once('=') {
                Some((key, value)) => Filter::Label(key.into(), Some(value.into())),
                None => Filter::Label(label.into(), None),
            },
            ("status", "created") => Filter::Status(Status::Created),
            ("status", "running") => Filter::Status(Status::Running),
            ("status", "paused") => Filter::Status(Status::Paused),
            ("status", "exited") => Filter::Status(Status::Exited),
            ("status", _) => return Err("expected created, running, paused or exited".into()),
            _ => return Err(wrong()),
        })
    }
}

/// Filters of one kind are alternatives, but every label must be there; as
/// with Docker.
fn is_wanted(filters: &[Filter], info: &Info) -> bool {
    let any = |matches: &dyn Fn(&Filter) -> Option<bool>| {
        let results: Vec<bool> = filters.iter().filter_map(matches).collect();
        results.is_empty() || results.contains(&true)
    };
    let name = info.name.as_deref().unwrap_or_default();
    any(&|filter| match filter {
        Filter::Name(part) => Some(name.contains(part.as_str())),
        _ => None,
    }) && any(&|filter| match filter {
        Filter::Id(start) => Some(info.id.starts_with(start.as_str())),
        _ => None,
    }) && any(&|filter| match filter {
        Filter::Status(status) => Some(*status == info.status),
        _ => None,
    }) && filters.iter().all(|filter| match filter {
        Filter::Label(key, value) => info
            .labels
            .get(key)
            .is_some_and(|found| value.as_ref().is_none_or(|wanted| wanted == found)),
        _ => true,
    })
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<ExitStatus> {
    // Who asks for a status means it.
    let asked = arguments.filters.iter().any(|filter| matches!(filter, Filter::Status(_)));
    let all = arguments.all || asked;
    let mut list = global.runtime()?.list()?;
    list.retain(|info| all || info.status != Status::Exited);
    list.retain(|info| is_wanted(&arguments.filters, info));
    list.reverse();
    let id =
        |info: &Info| if arguments.no_trunc { info.id.clone() } else { short(&info.id).into() };
    if arguments.quiet {
        for info in &list {
            output::line(id(info))?;
        }
    } else if global.is_json() {
        output::json(&list)?;
    } else {
        let headings = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"];
        let mut table = Table::new(&headings);
        for info in &list {
            table.row([
                id(info),
                info.image.clone(),
                command(&info.command, arguments.no_trunc),
                ago(info.created_at_ns),
                status(info),
                info.name.clone().unwrap_or_default(),
            ]);
        }
        output::bytes(table.render().as_bytes())?;
    }
    Ok(ExitStatus::Success)
}

/// The command in quotes, cut where it would fill the line.
fn command(words: &[String], whole: bool) -> String {
    let text = printable(&words.join(" "));
    match text.char_indices().nth(COMMAND - 1) {
        Some((end, c)) if !whole && text.len() > end + c.len_utf8() => {
            format!("\"{}…\"", &text[..end])
        }
        _ => format!("\"{text}\""),
    }
}

/// `Up 5 minutes`, `Exited (0) 2 hours ago`; with the reason where the code
/// does not tell it.
fn status(info: &Info) -> String {
    let up = || span(info.started_at_ns.map(since).unwrap_or_default());
    match (info.status, &info.exit) {
        (_, Some(exit)) => {
            let code = ExitStatus::from(exit).code();
            let why = match exit.outcome {
                Outcome::Exited | Outcome::Signaled => String::new(),
                other => format!(", {}", other.as_str()),
            };
            let when = exit.ended_at_ns.map(|ns| format!(" {}", ago(ns))).unwrap_or_default();
            format!("Exited ({code}{why}){when}")
        }
        (Status::Paused, None) => format!("Up {} (Paused)", up()),
        (Status::Created, None) => "Created".into(),
        (_, None) => format!("Up {}", up()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Filter, command};

    #[test]
    fn command_is_cut_at_twenty_characters() {
        let words = |text: &str| vec![text.to_owned()];
        assert_eq!(command(&words("12345678901234567890"), false), "\"12345678901234567890\"");
        assert_eq!(command(&words("123456789012345678901"), false), "\"1234567890123456789…\"");
        assert_eq!(command(&words("123456789012345678901"), true), "\"123456789012345678901\"");
        assert_eq!(command(&["sh".into(), "-c".into(), "a\nb".into()], false), "\"sh -c a\\nb\"");
    }

    #[test]
    fn filter_that_is_none_is_refused() {
        for text in ["name", "colour=red", "status=dead", ""] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }
}
