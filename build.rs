//! Links the hook executables statically: the dynamic linker's work on libc and libgcc_s costs almost as much as
//! starting a process. With musl everything is; with glibc the command line stays dynamic (a static glibc cannot resolve
//! host names everywhere).
//!
//! With glibc, `-C target-feature=+crt-static` would do, but Cargo can only set it for everything, and procedural macros
//! cannot be built with it. So the linker is told: link statically, and take these stand-ins, which name the static
//! archives, for the shared libraries that rustc asks for.
//!
//! What hooks run of their code is put side by side, as `hooks/layout.txt` lists it: where it lies all over the executable,
//! mapping it takes longer than running it.
//!
//! Besides, the hashes of Redis' scripts are worked out here.
//!
//! And not position-independent: the tables of time zones are full of pointers, 33,000 of them, and writing those at
//! every start took longer than everything else that pre-tool-use does. (With musl, `.cargo/config.toml` says so.)

#![allow(clippy::disallowed_methods)] // Cargo speaks to build scripts by variables

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Where the scripts are.
const SCRIPTS: &str = "src/store/redis";

/// What hooks run.
const LAYOUT: &str = "hooks/layout.txt";

/// In the order of the list's digits.
const HOOKS: [&str; 4] = ["pre-tool-use", "post-tool-use", "prompt-submit", "session-event"];
const LIBRARIES: [&str; 6] = ["c", "m", "dl", "pthread", "rt", "util"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={LAYOUT}");
    hash_scripts();
    // For the test of it.
    println!("cargo:rustc-env=HOOKS_ARE_LAID_OUT={}", link_hooks());
}

/// Tells the linker what it needs to know of the hooks; whether they are laid out as the list says.
fn link_hooks() -> bool {
    let target = env::var("TARGET").unwrap_or_default();
    let dir = env::var("OUT_DIR").expect("Cargo sets OUT_DIR");
    if target.ends_with("-linux-gnu") && has_static_libc() {
        link_glibc(&dir);
    } else if !target.ends_with("-linux-musl") {
        // Slower by a third of a millisecond, and otherwise the same.
        return false;
    }
    let is_laid_out = knows_layouts(Path::new(&dir));
    if is_laid_out {
        for (nr, hook) in HOOKS.iter().enumerate() {
            let script = Path::new(&dir).join(format!("{hook}.ld"));
            lay_out(nr, &script);
            println!("cargo:rustc-link-arg-bin={hook}=-T{}", script.display());
        }
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    is_laid_out && flags.contains("symbol-mangling-version=v0")
}

/// Has the hooks linked with the static glibc.
fn link_glibc(dir: &str) {
    let stand_in = |name: &str, text: String| {
        fs::write(Path::new(dir).join(format!("lib{name}.so")), text).expect("OUT_DIR can be written");
    };
    for library in LIBRARIES {
        stand_in(library, format!("INPUT(-l:lib{library}.a)\n"));
    }
    stand_in("gcc_s", "INPUT(-lgcc_eh -lgcc)\n".into());
    for hook in HOOKS {
        println!("cargo:rustc-link-arg-bin={hook}=-L{dir}");
        println!("cargo:rustc-link-arg-bin={hook}=-static");
        println!("cargo:rustc-link-arg-bin={hook}=-no-pie");
    }
}

/// Writes what tells the linker to put the functions that a hook runs side by side, before all others. What is not there, is
/// not.
fn lay_out(hook: usize, script: &Path) {
    let list = fs::read_to_string(LAYOUT).expect("the list is there");
    let lines = || list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    // What both stores need; what one needs.
    let on = |stores: u8| lines().filter(move |(of, _)| of.as_bytes().get(hook) == Some(&stores));
    let sections = b"321".iter().flat_map(|stores| on(*stores)).map(|(_, name)| match name.split_once(':') {
        Some((archive, member)) => format!("*{archive}:{member}(.text .text.*)\n"),
        // A compiler that expects a function to be cold says so.
        None => format!("*(.text.{name} .text.unlikely.{name})\n"),
    });
    let sections = String::from_iter(sections);
    let text = format!("SECTIONS {{\n.text.hooks : {{\n{sections}}}\n}} INSERT BEFORE .text;\n");
    fs::write(script, text).expect("OUT_DIR can be written");
}

/// Whether nobody chose a linker, and that of the C compiler takes a layout: LLD and GNU's do; gold and mold do not, and would
/// fail.
fn knows_layouts(dir: &Path) -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if env::var_os("RUSTC_LINKER").is_some() || flags.contains("link") {
        return false;
    }
    let (source, script) = (dir.join("layout.c"), dir.join("layout.ld"));
    fs::write(&source, "int main(void) { return 0; }\n").expect("OUT_DIR can be written");
    fs::write(&script, "SECTIONS { .text.hooks : { *(.text.none) } } INSERT BEFORE .text;\n")
        .expect("OUT_DIR can be written");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut link = Command::new(compiler);
    link.arg("-o").arg(dir.join("layout")).arg(&source).arg(format!("-T{}", script.display()));
    link.output().is_ok_and(|out| out.status.success())
}

/// What Redis knows each script by: a hook has no time to work it out.
fn hash_scripts() {
    println!("cargo:rerun-if-changed={SCRIPTS}");
    for entry in fs::read_dir(SCRIPTS).expect("the scripts are there").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "lua") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().to_uppercase();
            let text = fs::read(&path).expect("a script can be read");
            println!("cargo:rustc-env=SHA1_OF_{name}={}", sha1_smol::Sha1::from(text).digest());
        }
    }
}

/// Whether the C compiler knows a static C library (Debian: libc6-dev has it).
fn has_static_libc() -> bool {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let found = Command::new(compiler).arg("-print-file-name=libc.a").output();
    found.is_ok_and(|out| Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_absolute())
}
