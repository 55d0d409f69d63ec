//! Cargo gives shared libraries no SONAME; the dynamic linker and
//! distributions need one. The number changes with each break of the
//! interface and is not the crate's version.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libctr.so.0");
    println!("cargo::rerun-if-changed=build.rs");
}
