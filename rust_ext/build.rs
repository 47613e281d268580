//! Tells the core which sources it was built of: workers of other sources must not join a run.

use std::path::{Path, PathBuf};

/// FNV-1a, 64 bits: this tells builds apart, it protects nothing.
fn hash(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn list(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut files = vec![PathBuf::from("Cargo.toml")];
    // A crate that is built outside its workspace has no lock beside it.
    files.extend(Some(PathBuf::from("../Cargo.lock")).filter(|lock| lock.is_file()));
    list(Path::new("src"), &mut files)?;
    files.sort();
    let mut sum = 0xcbf2_9ce4_8422_2325;
    for file in &files {
        // A checkout may have carriage returns.
        let content: Vec<u8> = std::fs::read(file)?.into_iter().filter(|byte| *byte != b'\r').collect();
        sum = hash(hash(sum, file.to_string_lossy().replace('\\', "/").as_bytes()), &content);
    }
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    println!("cargo::rustc-env=TAHOE_CORE_SOURCES={sum:016x}");
    Ok(())
}
