//! A host program for tests that must kill one, or that need one with a
//! single thread.
//!
//! ```text
//! host RUN DATA loop|hold|leave|wait|closed SPEC      SPEC is a RunSpec as JSON
//! host RUN DATA exec-loop|exec-hold NAME=SPEC         SPEC is an ExecSpec as JSON
//! ```
//!
//! `loop` runs containers in four threads until it is killed, `hold` starts
//! one, prints its id and waits, `leave` starts one, prints its id and ends,
//! `wait` runs one to its end, `closed` too, with its standard streams closed
//! as only a host without Rust's runtime can have them. `exec-loop` and
//! `exec-hold` do the same with programs in the container NAME.

use std::env;
use std::error::Error;
use std::io::{Write, stdout};
use std::thread;
use std::time::Duration;

use libctr::spec::{ExecSpec, RunSpec};
use libctr::{RunOptions, Runtime, RuntimeOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [run, data, mode, spec] = words.as_slice() else { return Err("four words".into()) };
    let options = RuntimeOptions {
        run: Some(run.into()),
        data: Some(data.into()),
        ..RuntimeOptions::default()
    };
    if mode.starts_with("exec-") {
        return exec(&options, mode, spec);
    }
    let spec = RunSpec::from_json(spec.as_bytes())?;
    if mode == "closed" {
        (0..3).try_for_each(nix::unistd::close)?;
    }
    let runtime = Runtime::open(&options)?;
    if mode == "loop" {
        let failed = thread::scope(|scope| {
            let work = || -> Result<(), libctr::Error> {
                loop {
                    // Opening sweeps: it must not touch what others are making.
                    Runtime::open(&options)?;
                    runtime.run(&spec, RunOptions::default())?.wait(None)?;
                }
            };
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            workers.into_iter().find_map(|worker| worker.join().ok().and_then(Result::err))
        });
        return failed.map_or(Ok(()), |error| Err(error.into()));
    }
    let container = runtime.run(&spec, RunOptions::default())?;
    if mode == "closed"
        && (0..3)
            .any(|number| std::fs::exists(format!("/proc/self/fd/{number}")).is_ok_and(|is| is))
    {
        return Err("a descriptor of the library is in the place of a stream".into());
    }
    if mode == "wait" || mode == "closed" {
        return match container.wait(None)? {
            Some(exit) if exit.success() => Ok(()),
            exit => Err(format!("{exit:?}").into()),
        };
    }
    writeln!(stdout(), "{}", container.id())?;
    if mode == "hold" {
        thread::sleep(Duration::from_secs(3600));
    }
    Ok(())
}

fn exec(options: &RuntimeOptions, mode: &str, words: &str) -> Result<(), Box<dyn Error>> {
    let (name, spec) = words.split_once('=').ok_or("NAME=SPEC")?;
    let spec = ExecSpec::from_json(spec.as_bytes())?;
    let container = Runtime::open(options)?.container(name)?;
    if mode == "exec-loop" {
        let failed = thread::scope(|scope| {
            let work = || -> Result<(), libctr::Error> {
                loop {
                    Runtime::open(options)?;
                    container.exec(&spec, RunOptions::default())?.wait(None)?;
                }
            };
            let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
            workers.into_iter().find_map(|worker| worker.join().ok().and_then(Result::err))
        });
        return failed.map_or(Ok(()), |error| Err(error.into()));
    }
    let exec = container.exec(&spec, RunOptions::default())?;
    writeln!(stdout(), "{}", exec.id())?;
    thread::sleep(Duration::from_secs(3600));
    Ok(())
}
