//! Progress bars for long work, on standard error, if that is a terminal and
//! a person reads it.
//!
//! The library reports from several threads, at most about once per MiB; each
//! blob or layer has a bar of its own, from its first report to its last.

use std::collections::HashMap;
use std::io::{IsTerminal, stderr};
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use libctr::image::{Progress, Step};

use crate::arguments::Global;
use crate::commands::short;
use crate::output::table::printable;

const WITH_TOTAL: &str = "{msg:20} [{bar:30}] {binary_bytes:>10}/{binary_total_bytes:10} {eta:>4}";
const WITHOUT_TOTAL: &str = "{msg:20} {binary_bytes:>10}";

/// The bars of one command.
#[derive(Debug)]
pub(crate) struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    /// No bars yet, and none ever where nobody would see them.
    pub(crate) fn new(global: &Global) -> Bars {
        let all = MultiProgress::new();
        if global.is_json() || !stderr().is_terminal() {
            all.set_draw_target(ProgressDrawTarget::hidden());
        }
        Bars { all, bars: Mutex::default() }
    }

    /// Shows how far something is.
    pub(crate) fn show(&self, progress: Progress) {
        let verb = match progress.step {
            Step::Copy => "copy",
            Step::Unpack => "unpack",
            Step::Commit => "commit",
            _ => "work",
        };
        let name = format!("{verb:6} {}", printable(short(&progress.item)));
        let mut bars = self.bars.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let bar = bars.entry(name.clone()).or_insert_with(|| {
            let bar = match progress.total {
                Some(total) => ProgressBar::new(total).with_style(style(WITH_TOTAL)),
                None => ProgressBar::no_length().with_style(style(WITHOUT_TOTAL)),
            };
            self.all.add(bar.with_message(name))
        });
        bar.set_position(progress.done);
        if progress.total == Some(progress.done) {
            bar.finish_and_clear();
        }
    }

    /// Takes all bars away.
    pub(crate) fn clear(&self) {
        // Fails only if the terminal is gone, with the bars.
        let _ = self.all.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let bar = ProgressStyle::default_bar().progress_chars("=> ");
    // The templates are constants, which a test reads.
    bar.clone().template(template).unwrap_or(bar)
}

#[cfg(test)]
mod tests {
    use super::{WITH_TOTAL, WITHOUT_TOTAL};
    use indicatif::ProgressStyle;

    #[test]
    fn templates_can_be_read() {
        for template in [WITH_TOTAL, WITHOUT_TOTAL] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
