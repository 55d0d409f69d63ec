//! The README's example: run a command isolated and limited, print what it
//! printed, how it ended and what it used.

use std::io::Write;

use libctr::spec::RunSpec;
use libctr::{RunOptions, Runtime, RuntimeOptions, Stdio};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::open(&RuntimeOptions::default())?;
    let spec = RunSpec::from_json(
        br#"{"args": ["sh", "-c", "echo hello from $(hostname)"], "hostname": "box",
             "limits": {"memory": "64M", "pids": 32, "wall_time": 10}}"#,
    )?;
    let options =
        RunOptions { stdout: Stdio::Pipe, stderr: Stdio::Inherit, ..RunOptions::default() };
    let container = runtime.run(&spec, options)?;
    let output = container.output(b"", &spec.limits)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&output.stdout)?;
    writeln!(out, "{} {:?}", output.exit.outcome.as_str(), output.exit.code)?;
    writeln!(out, "{:?}", output.exit.usage)?;
    Ok(())
}
