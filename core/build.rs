//! Compiles the default profile of system calls for the target, so that a
//! container with the usual capabilities starts with a program that is there.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use libctr_seccomp::{Instruction, Machine, compile, engines};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let machine = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => Machine::X86_64,
        "aarch64" => Machine::Aarch64,
        other => return Err(format!("libctr runs on x86_64 and aarch64, not on {other}").into()),
    };
    let program = compile(&engines::profile(engines::USUAL), machine)?;
    let bytes: Vec<u8> = program.into_iter().flat_map(Instruction::to_bytes).collect();
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("seccomp.bpf"), bytes)?;
    Ok(())
}
