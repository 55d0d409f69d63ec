//! Latency of one container, from the call to its exit record, beside other
//! runtimes and beside a plain process: medians and ratios from one run, the
//! contenders taking turns, so that a slow moment of the machine meets all.
//!
//! The job is busybox' static `true`, in the busybox image where
//! `LIBCTR_TEST_IMAGES` has one, else in a directory with a copy of the
//! program. libctr runs it with memory and pids limits; `bwrap` has neither
//! groups nor an overlay; `crun` and `runc` get the bundle that they call
//! default. A contender that is not installed is said and left out.

#![allow(clippy::print_stdout, reason = "the report is the purpose")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libctr::image::{LoadOptions, Source};
use libctr::spec::{RunSpec, Seccomp};
use libctr::{RunOptions, Runtime, RuntimeOptions};
use libctr_seccomp::{Machine, compile, engines};
use libctr_tests::outer::timed;

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Job = Box<dyn FnMut() -> Result<()>>;

fn main() -> Result<()> {
    let rounds: usize =
        std::env::var("LIBCTR_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let scratch = tempfile::tempdir()?;
    let rootfs = rootfs(scratch.path())?;
    let mut jobs: Vec<(&str, Job)> = vec![
        ("posix_spawn", Box::new(|| plain(&mut Command::new("/bin/busybox")))),
        ("libctr", libctr(scratch.path(), &rootfs)?),
        ("libctr, image: host", libctr_host(scratch.path(), Seccomp::Default)?),
        ("same, no seccomp", libctr_host(scratch.path(), Seccomp::Unconfined)?),
    ];
    if installed("bwrap") {
        let root = rootfs.clone();
        jobs.push((
            "bwrap --unshare-all",
            Box::new(move || {
                let mut command = Command::new("bwrap");
                command
                    .args(["--unshare-all", "--bind"])
                    .arg(&root)
                    .args(["/", "--proc", "/proc", "--dev", "/dev"]);
                plain(command.arg("/bin/busybox"))
            }),
        ));
    }
    // crun refuses machines with controllers on both hierarchies; without
    // groups it has less to do, which its name says.
    let contenders: [(&str, &str, &[&str]); 3] = [
        ("crun run", "crun", &[]),
        ("crun run, no cgroups", "crun", &["--cgroup-manager=disabled"]),
        ("runc run", "runc", &[]),
    ];
    for (title, name, options) in contenders {
        if installed(name) {
            jobs.push((title, oci(name, options, &scratch.path().join(title), &rootfs)?));
        }
    }
    jobs.retain_mut(|(title, job)| match job() {
        Ok(()) => true,
        Err(error) => {
            println!("{title}: does not run here, left out: {error}");
            false
        }
    });
    let mut times: Vec<Vec<Duration>> = jobs.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..rounds + 5 {
        for ((_, job), times) in jobs.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            job()?;
            if round >= 5 {
                times.push(begun.elapsed());
            }
        }
    }
    report(&jobs, &mut times);
    filter(rounds)
}

/// The default filter: its length, how long loading it takes, and how long
/// compiling it where capabilities change it.
fn filter(rounds: usize) -> Result<()> {
    let profile = engines::profile(engines::USUAL);
    let program = compile(&profile, Machine::NATIVE)?;
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    let compiling = || {
        let begun = Instant::now();
        compile(&engines::profile(0), Machine::NATIVE).map(|_| begun.elapsed())
    };
    let loaded = median((0..rounds).map(|_| timed(&program)).collect());
    let compiled = median((0..rounds).map(|_| compiling()).collect::<std::result::Result<_, _>>()?);
    let length = program.len();
    println!("seccomp, default: {length} instructions, loaded in {loaded:.1} µs");
    println!("seccomp, default without capabilities: compiled in {compiled:.1} µs");
    Ok(())
}

fn report(jobs: &[(&str, Job)], times: &mut [Vec<Duration>]) {
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort();
            times[times.len() / 2].as_secs_f64() * 1e3
        })
        .collect();
    println!(
        "{:24} {:>10} {:>10} {:>10} {:>14}",
        "run + wait of true", "min ms", "median ms", "max ms", "libctr : this"
    );
    for (((name, _), times), median) in jobs.iter().zip(times).zip(&medians) {
        let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let (min, max) = (ms(times.first()), ms(times.last()));
        println!("{name:24} {min:10.3} {median:10.3} {max:10.3} {:14.2}", medians[1] / median);
    }
}

fn installed(name: &str) -> bool {
    let there = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !there {
        println!("{name}: not installed, left out");
    }
    there
}

/// A root with nothing but busybox, for those who take a directory.
fn rootfs(scratch: &Path) -> Result<PathBuf> {
    let root = scratch.join("rootfs");
    for directory in ["bin", "proc", "dev", "sys", "etc"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    std::os::unix::fs::symlink("busybox", root.join("bin/true"))?;
    Ok(root)
}

fn plain(command: &mut Command) -> Result<()> {
    let status = command.arg("true").stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn run(runtime: &Runtime, spec: &RunSpec) -> Result<()> {
    let container = runtime.run(spec, RunOptions::default())?;
    let exit = container.wait(None)?.ok_or("no exit record")?;
    if exit.success() { Ok(()) } else { Err(format!("{exit:?}").into()) }
}

fn runtime(scratch: &Path) -> Result<Runtime> {
    // The state lies where it lies by default: in memory on most machines.
    let run = Path::new("/dev/shm").join(format!("libctr-bench-{}", std::process::id()));
    let data = Some(scratch.join("data"));
    Ok(Runtime::open(&RuntimeOptions { run: Some(run), data, ..RuntimeOptions::default() })?)
}

fn limited(mut spec: RunSpec) -> RunSpec {
    spec.args = vec!["true".into()];
    spec.limits.memory = Some(64 << 20);
    spec.limits.pids = Some(64);
    spec
}

fn libctr(scratch: &Path, rootfs: &Path) -> Result<Job> {
    let runtime = runtime(scratch)?;
    let mut spec = RunSpec { rootfs: Some(rootfs.to_path_buf()), ..RunSpec::default() };
    let layout =
        std::env::var_os("LIBCTR_TEST_IMAGES").map(|images| Path::new(&images).join("busybox-oci"));
    if let Some(layout) = layout.filter(|layout| layout.is_dir()) {
        let loaded = runtime.images()?.load(Source::Path(layout), &LoadOptions::default())?;
        let image = loaded.first().ok_or("the layout has no image")?;
        spec = RunSpec { image: Some(image.id.clone()), ..RunSpec::default() };
    } else {
        println!("LIBCTR_TEST_IMAGES has no busybox-oci: libctr takes the directory too");
    }
    let spec = limited(spec);
    Ok(Box::new(move || run(&runtime, &spec)))
}

fn libctr_host(scratch: &Path, seccomp: Seccomp) -> Result<Job> {
    let runtime = runtime(scratch)?;
    let mut spec = limited(RunSpec::default());
    spec.security.seccomp = seccomp;
    Ok(Box::new(move || run(&runtime, &spec)))
}

/// The bundle that `NAME spec` writes, with the job and the limits put in.
fn oci(name: &'static str, options: &'static [&str], bundle: &Path, rootfs: &Path) -> Result<Job> {
    let bundle = bundle.to_path_buf();
    fs::create_dir(&bundle)?;
    let made = Command::new(name).arg("spec").current_dir(&bundle).status()?;
    if !made.success() {
        return Err(format!("{name} spec: {made}").into());
    }
    let path = bundle.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    config["process"]["args"] = serde_json::json!(["/bin/busybox", "true"]);
    config["process"]["terminal"] = false.into();
    config["root"]["path"] = rootfs.to_string_lossy().into();
    config["linux"]["resources"]["memory"] = serde_json::json!({"limit": 64 << 20});
    config["linux"]["resources"]["pids"] = serde_json::json!({"limit": 64});
    fs::write(&path, serde_json::to_vec(&config)?)?;
    let mut number = 0;
    Ok(Box::new(move || {
        number += 1;
        let id = format!("libctr-bench-{}-{number}", std::process::id());
        let status = Command::new(name)
            .args(options)
            .args(["run", "--bundle"])
            .arg(&bundle)
            .arg(&id)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if status.success() { Ok(()) } else { Err(format!("{name} run: {status}").into()) }
    }))
}
