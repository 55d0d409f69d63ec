//! Cargo gives shared libraries no SONAME; the dynamic linker and
//! distributions need one. The number changes with each break of the
//! interface and is not the crate's version.
//!
//! `nodelete`: what the library keeps for the next run (the helper's sealed
//! file) would be lost by each `dlclose`, and code of thread-local
//! destructors must not go away before the threads do.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libctr.so.0");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rerun-if-changed=build.rs");
}
