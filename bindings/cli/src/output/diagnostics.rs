//! What the library logs: warnings always, everything with `--debug`.

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::output;

#[derive(Debug)]
struct Diagnostics;

/// Shows messages of the library from now on.
pub(crate) fn start(debug: bool) {
    // Fails only for a second logger, which nobody sets.
    let _ = log::set_logger(&Diagnostics);
    log::set_max_level(if debug { LevelFilter::Debug } else { LevelFilter::Warn });
}

impl Log for Diagnostics {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug | Level::Trace => "debug",
        };
        output::tell(format_args!("ctrun: {level}: {}", record.args()));
    }

    fn flush(&self) {}
}
