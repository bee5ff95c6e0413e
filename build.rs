//! Links the unwinder into the program instead of loading it at every start.
//!
//! The standard library asks for `libgcc_s.so`. When it is loaded it asks the processor a dozen times what it is, and
//! on a virtual machine each of these questions goes to the hypervisor: some 0.15 of the 3 ms that a lookup takes. The
//! compiler that links has the same code as an archive; a linker script under the library's name leads to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|it| it == value);
    let is_own = env::var("HOST").is_ok_and(|host| is("TARGET", &host));
    if !is_own || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    if let Some(folder) = unwinder_folder() {
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
}

/// Writes the linker script and returns where it is; `None` if the compiler has no archive.
fn unwinder_folder() -> Option<PathBuf> {
    let linker = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".into());
    // A compiler that has no such file prints the bare name.
    let mut command = Command::new(linker);
    let output = command.arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let archive = String::from_utf8(output.stdout).ok()?;
    if !Path::new(archive.trim()).is_absolute() {
        return None;
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR")?);
    fs::write(folder.join("libgcc_s.so"), "INPUT(-lgcc_eh)\n").ok()?;
    Some(folder)
}
