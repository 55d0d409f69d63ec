//! What the probe says, and what then really happens: a host program for tests
//! that take something away from a whole process.
//!
//! ```text
//! report RUN DATA PROGRAM      PROGRAM ends with 0 when it is told "hostname"
//! ```
//!
//! Prints one JSON object: `probe` is the probe's own document, `run` and
//! `degraded` say why a container with every default, and one with `degraded:
//! allow`, could not be run; null if it could.

use std::env;
use std::error::Error;
use std::io::{Write, stdout};

use libctr::spec::{Degraded, Mount, RunSpec};
use libctr::{RunOptions, Runtime, RuntimeOptions, Stdio};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [run, data, program] = words.as_slice() else { return Err("three words".into()) };
    let options = RuntimeOptions {
        run: Some(run.into()),
        data: Some(data.into()),
        ..RuntimeOptions::default()
    };
    let probe = libctr::probe(&options)?;
    let mut spec = RunSpec {
        args: vec![program.as_str().into(), "hostname".into()],
        mounts: vec![Mount::bind(program, program)],
        ..RunSpec::default()
    };
    let plain = ran(&options, &spec);
    spec.degraded = Degraded::Allow;
    let report = serde_json::json!({
        "probe": probe,
        "run": plain.err().map(|error| error.to_string()),
        "degraded": ran(&options, &spec).err().map(|error| error.to_string()),
    });
    Ok(writeln!(stdout(), "{report}")?)
}

fn ran(options: &RuntimeOptions, spec: &RunSpec) -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::open(options)?;
    let streams = RunOptions {
        stdin: Stdio::Null,
        stdout: Stdio::Null,
        stderr: Stdio::Inherit,
        ..RunOptions::default()
    };
    match runtime.run(spec, streams)?.wait(None)? {
        Some(exit) if exit.success() => Ok(()),
        exit => Err(format!("{exit:?}").into()),
    }
}
