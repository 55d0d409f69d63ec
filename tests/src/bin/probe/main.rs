//! The program that the tests run inside containers: it answers questions
//! about where it runs, and misbehaves on request.
//!
//! ```text
//! probe VERB [WORD…] [, VERB [WORD…]]…
//! ```
//!
//! Verbs are done in order. An answer goes to standard output and ends with a
//! newline; a verb that fails says so there too, as `error NUMBER`, so that
//! tests can compare refusals. Built static and without any dependency
//! (`build.rs`), so that it runs in an empty root.

mod actions;
mod answers;
mod attacks;
mod spy;
mod system;

use std::env;
use std::ffi::OsString;
use std::io::{Result, Write, stdout};
use std::os::unix::ffi::OsStringExt;

fn main() -> Result<()> {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    for verb in words.split(|word| word == ",") {
        let Some((name, words)) = verb.split_first() else { continue };
        let words: Vec<String> = words
            .iter()
            .map(|word| String::from_utf8_lossy(&word.clone().into_vec()).into_owned())
            .collect();
        let name = name.to_string_lossy();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let done = match answers::answer(&name, &words) {
            Some(answer) => answer.and_then(|answer| {
                stdout().write_all(&answer)?;
                stdout().write_all(b"\n")
            }),
            None => attacks::attempt(&name, &words).unwrap_or_else(|| actions::act(&name, &words)),
        };
        if let Err(error) = done {
            writeln!(stdout(), "error {}", error.raw_os_error().unwrap_or(-1))?;
        }
        stdout().flush()?;
    }
    Ok(())
}
