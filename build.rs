//! Hashes the scripts of the Redis store: Redis knows a script by its SHA-1, and no hook should have to compute it.

#![allow(clippy::disallowed_methods)] // Cargo passes variables to build scripts

use std::fs;

/// Where the scripts are.
const SCRIPTS: &str = "src/store/redis";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={SCRIPTS}");
    for entry in fs::read_dir(SCRIPTS).expect("the folder of the scripts exists").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "lua") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().to_uppercase();
            let text = fs::read(&path).expect("the script can be read");
            println!("cargo:rustc-env=SHA1_OF_{name}={}", sha1_smol::Sha1::from(text).digest());
        }
    }
}
