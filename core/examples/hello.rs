//! The README's example: run a command isolated and limited, and say how it
//! ended and what it used.

#![allow(clippy::print_stdout, reason = "an example that prints")]

use libctr::{RunOptions, Runtime, RuntimeOptions, Stdio, spec::RunSpec};

fn main() -> libctr::Result<()> {
    let runtime = Runtime::open(&RuntimeOptions::default())?;
    let spec = RunSpec::from_json(
        br#"{"args": ["sh", "-c", "echo hello from $(hostname)"], "hostname": "box",
             "limits": {"memory": "64M", "pids": 32, "wall_time": 10}}"#,
    )?;
    let options = RunOptions { stdout: Stdio::Inherit, ..RunOptions::default() };
    let exit = runtime.run(&spec, options)?.wait(None)?.expect("no timeout was given");
    println!("{exit}");
    Ok(())
}
