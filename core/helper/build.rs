//! Builds the helper program (`src/main.rs`) as one static executable and
//! leaves it in `OUT_DIR`, where `src/lib.rs` embeds it.
//!
//! One direct call of the compiler: no nested cargo, no second target, no C
//! compiler. The flags of the surrounding build (RUSTFLAGS, sanitizers,
//! coverage) never reach the helper, because it must run without any runtime.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("helper");
    let map = out.with_extension("map");
    let status = Command::new(env::var("RUSTC")?)
        .args(["src/main.rs", "--crate-name", "libctr_helper_program", "--crate-type", "bin"])
        .args(["--edition", "2024", "--target", &env::var("TARGET")?, "-o"])
        .arg(&out)
        .args(["-Cpanic=abort", "-Clto=fat", "-Ccodegen-units=1", "-Copt-level=s"])
        .args(["-Cstrip=symbols", "-Crelocation-model=static", "-Cforce-unwind-tables=no"])
        .args(["-Clinker=rust-lld", "-Clinker-flavor=ld.lld"])
        .args(["-Clink-arg=-static", "-Clink-arg=-nostdlib", "-Clink-arg=--build-id=none"])
        // 4 KiB pages in the file keep the image small; the kernel maps it as is.
        .args(["-Clink-arg=-z", "-Clink-arg=max-page-size=4096"])
        .arg(format!("-Clink-arg=-Map={}", map.display()))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()?;
    if !status.success() {
        return Err(format!("the helper program did not build: rustc: {status}").into());
    }
    println!("cargo::rustc-env=LIBCTR_HELPER={}", out.display());
    Ok(())
}
