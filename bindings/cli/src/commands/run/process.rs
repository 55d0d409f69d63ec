//! Options of `run` about the program: environment, user, directory, init.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use libctr::spec::RunSpec;

use crate::variables::Variables;

#[derive(Debug, Args)]
#[command(next_help_heading = "Program")]
pub(super) struct Process {
    #[command(flatten)]
    variables: Variables,
    /// Working directory inside
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// User: a name or number inside, alone or followed by :GROUP
    #[arg(short, long)]
    user: Option<String>,
    /// Another group of the user
    #[arg(long = "group-add", value_name = "GROUP")]
    groups: Vec<String>,
    /// Replace the image's entry point; "" removes it
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<OsString>,
    /// File mode creation mask, octal [default: 022]
    #[arg(long, value_name = "MASK", value_parser = octal)]
    umask: Option<u32>,
    /// Run the program under a tiny init, which is the default
    #[arg(long, overrides_with = "no_init")]
    init: bool,
    /// Make the program pid 1 itself
    #[arg(long, overrides_with = "init")]
    no_init: bool,
    /// Signal that asks the program to end [default: the image's, else TERM]
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
}

/// Reads octal digits.
pub(super) fn octal(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    number.ok_or_else(|| "expected octal digits such as 022".to_owned())
}

impl Process {
    pub(super) fn apply(&self, spec: &mut RunSpec) -> libctr::Result<()> {
        self.variables.apply(&mut spec.env, &mut spec.inherit_env)?;
        if let Some(directory) = &self.workdir {
            spec.cwd = Some(directory.clone());
        }
        spec.user = self.user.clone().or(spec.user.take());
        spec.groups.extend(self.groups.iter().cloned());
        if let Some(program) = &self.entrypoint {
            spec.entrypoint = Some(vec![program.clone().into()]);
        }
        spec.umask = self.umask.or(spec.umask);
        spec.init = (spec.init || self.init) && !self.no_init;
        spec.stop_signal = self.stop_signal.clone().or(spec.stop_signal.take());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::octal;

    #[test]
    fn masks_are_octal() {
        assert_eq!(octal("0027"), Ok(0o27));
        for text in ["", "8", "-1", "+7", "0o7"] {
            assert!(octal(text).is_err(), "{text}");
        }
    }
}
