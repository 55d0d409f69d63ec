//! Builds the probe (`src/bin/probe`) once more, as a static executable: it
//! runs in roots that hold no C library. Its path is `LIBCTR_PROBE`.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src/bin/probe");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("probe");
    let status = Command::new(env::var("RUSTC")?)
        .args(["src/bin/probe/main.rs", "--crate-name", "probe", "--crate-type", "bin"])
        .args(["--edition", "2024", "--target", &env::var("TARGET")?, "-o"])
        .arg(&out)
        .args(["-Ctarget-feature=+crt-static", "-Cpanic=abort", "-Copt-level=1", "-Cstrip=symbols"])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()?;
    if !status.success() {
        return Err(format!("the probe did not build: rustc: {status}").into());
    }
    println!("cargo::rustc-env=LIBCTR_PROBE={}", out.display());
    Ok(())
}
