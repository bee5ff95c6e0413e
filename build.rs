//! Two things that make the program start sooner.
//!
//! **The unwinder is linked in.** The standard library asks for `libgcc_s.so`. When that is loaded it asks the processor
//! what it is, and on a virtual machine each such question goes to the hypervisor: 0.12 to 0.15 ms of a start. The
//! compiler that links has the same code as an archive; a linker script under the library's name leads to it.
//!
//! **Of the table of characters that look alike (UTS 39) only what is asked of it is kept**: which characters look like
//! ASCII ones. The whole table takes 41 of the 117 pages that the loader writes addresses into at every start.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use unicode_security::skeleton;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder"));
    fs::write(folder.join("ascii_alike.rs"), ascii_alike()).expect("cargo's folder is writable");
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|it| it == value);
    let is_own = env::var("HOST").is_ok_and(|host| is("TARGET", &host));
    if is_own
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && lead_to_unwinder(&folder).is_some()
    {
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
}

/// Returns the characters that look like ASCII ones or like nothing, as ranges.
fn ascii_alike() -> String {
    let mut ranges: Vec<(char, char)> = Vec::new();
    for it in '\0'..=char::MAX {
        let mut text = [0; 4];
        if !skeleton(it.encode_utf8(&mut text)).all(|it| it.is_ascii()) {
            continue;
        }
        match ranges.last_mut() {
            Some((_, last)) if *last as u32 + 1 == it as u32 => *last = it,
            _ => ranges.push((it, it)),
        }
    }
    let mut code = format!("const ASCII_ALIKE: [(char, char); {}] = [\n", ranges.len());
    for (first, last) in ranges {
        writeln!(code, "    ({first:?}, {last:?}),").expect("a string takes all");
    }
    code + "];\n"
}

/// Writes the linker script; `None` if the compiler has no archive.
fn lead_to_unwinder(folder: &Path) -> Option<()> {
    let linker = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".into());
    // A compiler that has no such file prints the bare name.
    let mut command = Command::new(linker);
    let output = command.arg("-print-file-name=libgcc_eh.a").output().ok()?;
    let archive = String::from_utf8(output.stdout).ok()?;
    if !Path::new(archive.trim()).is_absolute() {
        return None;
    }
    fs::write(folder.join("libgcc_s.so"), "INPUT(-lgcc_eh)\n").ok()
}
